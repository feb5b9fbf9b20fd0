package artifacts

import (
	"context"
	"fmt"
	"os"

	"github.com/expo-free-agent/freeagent/shared/archive"
)

// FileName is the name of the archive.
const FileName = "build-artifacts.tar.gz"

// Pack writes the files below root to a new archive called to, and opens it. After an error it leaves no archive.
func Pack(ctx context.Context, root, to string, names []string) (*os.File, error) {
	f, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("pack the build artifacts: %w", err)
	}
	if _, err := archive.PackFiles(ctx, f, root, names, archive.PackOptions{}); err != nil {
		_ = f.Close() // it is removed
		_ = os.Remove(to)
		return nil, fmt.Errorf("pack the build artifacts: %w", err)
	}
	return f, nil
}
