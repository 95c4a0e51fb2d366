package console

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"handful/signing"
	"handful/swarm/bundle"
)

// WriteBundle writes a bundle of a channel beside its path and puts it there when it is
// complete and on disk; only with force in the place of another file. It returns the
// bundle's size in bytes. put writes what is between the beginning and the end.
func WriteBundle(path string, force bool, id signing.ID, put func(*bundle.Writer) error) (size int64, err error) {
	if fi, err := os.Lstat(path); err == nil && (!force || !fi.Mode().IsRegular()) {
		return 0, &Fault{Code: NoSpace, Message: "write the bundle " + path, Hint: "name another file, or replace it with --force", Err: fs.ErrExist}
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return 0, fmt.Errorf("write the bundle: %w", err)
	}
	out := bufio.NewWriterSize(f, 1<<20)
	w, err := bundle.NewWriter(out, id)
	if err == nil {
		err = put(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		os.Remove(part)
		return 0, fmt.Errorf("write the bundle %s: %w", filepath.Base(path), err)
	}
	return w.Written(), nil
}
