package store

import (
	"errors"
	"io/fs"
	"os"

	bolt "go.etcd.io/bbolt"
)

// createDB puts an empty database in place where there is none. It appears whole
// or not at all: one whose first pages did not fit on the disk, or were not all
// written when the process was killed, would be found to be corrupt by the next.
func (s *Store) createDB() (err error) {
	if _, err := os.Lstat(s.dbPath()); !errors.Is(err, fs.ErrNotExist) {
		return nil // opening it says what else is wrong
	}
	fresh := s.dbPath() + ".new"
	defer func() {
		if err != nil {
			os.Remove(fresh)
			err = diskError("create", s.dbPath(), err)
		}
	}()
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(fresh, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil { // bbolt has synced it
		return err
	}
	if err := os.Rename(fresh, s.dbPath()); err != nil {
		return err
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(dir), dir.Close())
}
