package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	recordName = "control"      // in the state directory: where the holder listens
	socketName = "control.sock" // the socket itself, where its path is short enough
	maxRecord  = 4096
)

// record is the file "control" in a state directory. Whoever could write it
// could have commands sent to a node of their own: it is as private as the rest
// of the directory.
type record struct {
	Protocol int    `json:"protocol"`
	PID      int    `json:"pid"`
	Address  string `json:"address"` // of a unix socket, relative to the directory; or a pipe's name
}

func writeRecord(dir, address string) error {
	b, err := json.Marshal(record{ControlProtocol, os.Getpid(), address})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, recordName)
	if err := writePrivate(path, append(b, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// readRecord returns where the holder of dir listens; ErrNoHolder when there is
// no such file or it makes no sense, as after a crash.
func readRecord(dir string) (record, error) {
	path := filepath.Join(dir, recordName)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return record{}, ErrNoHolder
	}
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return record{}, fmt.Errorf("read %s: %w", path, err)
	}
	r, err := parseRecord(b)
	if err != nil {
		return record{}, ErrNoHolder
	}
	return r, nil
}

func parseRecord(b []byte) (record, error) {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return r, err
	}
	if r.Address == "" || strings.ContainsRune(r.Address, 0) || r.PID < 0 {
		return r, fmt.Errorf("%w: the record names no address", errFrame)
	}
	return r, nil
}

// writePrivate writes a small file whole or not at all, for this user only. It
// need not survive a crash: what it says is not true after one.
func writePrivate(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
