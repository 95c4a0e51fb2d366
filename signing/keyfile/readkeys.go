package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"handful/signing"
	"handful/signing/durable"
)

const (
	readKeysFile = "read.keys"
	maxReadKeys  = 256 << 10 // bytes
	readKeyBlock = "HANDFUL READ KEYS"
)

// ReadKeys returns what WriteReadKeys kept of a channel, nil when there is nothing.
func ReadKeys(dir string, id signing.ID) ([]byte, error) {
	path := filepath.Join(dir, id.String(), readKeysFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the read keys %s are open to other users (mode %04o): chmod 600 the file, and think about who may have read it", path, info.Mode().Perm())
	}
	return durable.ReadFile(durable.OS{}, path, maxReadKeys)
}

// WriteReadKeys keeps what opens a private channel, a text of its owner's that is part of an
// export (package seal has its form). The channel's directory must be there.
func WriteReadKeys(dir string, id signing.ID, text []byte) error {
	if len(text) == 0 || len(text) > maxReadKeys {
		return fmt.Errorf("read keys of %d bytes, 1 to %d are possible", len(text), maxReadKeys)
	}
	return durable.WriteFile(durable.OS{}, filepath.Join(dir, id.String(), readKeysFile), text)
}
