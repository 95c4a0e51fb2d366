//go:build unix && !linux && !darwin

package store

import "os"

func renameNoReplace(from *os.File, old string, to *os.File, name string) error {
	return renameChecked(from, old, to, name)
}
