package embeds3

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pkg/xattr"
	"github.com/versity/versitygw/backend/meta"
)

const (
	objectsDir    = "objects"
	attributesSub = "attributes"
	probeAttr     = "user.freeagent.probe"
)

// attributesDir decides where metadata lives: "" for extended attributes, else
// the side-car directory. A directory begun with side-cars stays so, else
// their objects would lose their metadata.
func attributesDir(dir, root string) (string, error) {
	side := filepath.Join(dir, attributesSub)
	if _, err := os.Stat(side); err == nil {
		return side, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("object store attributes: %w", err)
	}
	ok, err := supportsXattr(root)
	if ok || err != nil {
		return "", err
	}
	if err := os.Mkdir(side, 0o700); err != nil {
		return "", fmt.Errorf("object store attributes: %w", err)
	}
	return side, nil
}

// supportsXattr writes an attribute to a file of its own: reading one, which
// the gateway's own test does, also succeeds where writing is refused.
func supportsXattr(root string) (bool, error) {
	f, err := os.CreateTemp(root, ".probe-")
	if err != nil {
		return false, fmt.Errorf("the object store cannot write to its directory: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return xattr.FSet(f, probeAttr, []byte("1")) == nil, nil
}

func (s *Server) metadata() meta.MetadataStorer {
	if s.attrs == "" {
		return meta.XattrMeta{}
	}
	side, _ := meta.NewSideCar(s.attrs) // fails only for a missing directory
	return side
}
