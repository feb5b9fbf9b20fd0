package settings

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxFile is ample for any secret; more is the wrong file.
const maxFile = 4096

// ReadFile reads a small file, such as one that holds a secret. The path may show in the error, the content does not.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxFile)
	}
	return data, nil
}

// minKey is the length from which hexadecimal or base64 text is taken for a key in that form.
const minKey = 32

// ReadKey reads a file with the bytes of a key, or with their hexadecimal or base64 form.
func ReadKey(path string) ([]byte, error) {
	data, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(data))
	if key, err := hex.DecodeString(text); err == nil && len(key) >= minKey {
		return key, nil
	}
	if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) >= minKey {
		return key, nil
	}
	return data, nil
}
