package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sync/semaphore"

	"handful/manifest"
)

const (
	defaultOpenFiles = 256
	// verifyMemory bounds the buffers of all verifications together; a piece
	// larger than this is verified alone.
	verifyMemory = 64 << 20
	lockWait     = time.Second // for bbolt's own lock, which nobody should hold
)

// Options of a store; the zero value is good.
type Options struct {
	OpenFiles int // files kept open at most; 0: 256
	Logger    *slog.Logger
}

// Store is the holder of a state directory. All methods are safe for use by
// several goroutines.
type Store struct {
	dir     string
	log     *slog.Logger
	lock    *fileLock
	db      *bolt.DB
	files   *cache
	memory  *semaphore.Weighted // of verifyMemory
	taking  *semaphore.Weighted // of verifyMemory, for pieces that are read from donors
	buffers sync.Pool           // of *[]byte, a piece each

	// fault, in tests, is called before and after each step of finishing and may
	// panic, which is as near to a kill as a test within the process gets.
	fault func(step string, done bool)

	mu     sync.Mutex
	open   map[[20]byte]*Content // a nil value is a place taken by an opening one
	closed bool
}

// Open takes the state directory, which it creates (mode 0700) when it is
// missing. Errors match ErrLocked, ErrCorrupt, ErrPermission, ErrDiskFull or
// ErrIsFile where these are the reason.
func Open(dir string, o Options) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if fi, err := os.Stat(dir); err == nil && !fi.IsDir() {
		return nil, &Error{Kind: ErrIsFile, Path: dir, Detail: "a state directory is needed", Hint: "name another --state-dir"}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, diskError("create", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, diskError("open", filepath.Join(dir, "lock"), err)
	}
	lock, err := takeLock(f, dir, true, "stop that process, or use another --state-dir")
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, log: o.Logger, lock: lock, open: make(map[[20]byte]*Content),
		memory: semaphore.NewWeighted(verifyMemory), taking: semaphore.NewWeighted(verifyMemory)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = defaultOpenFiles
	}
	s.files = newCache(o.OpenFiles)
	if err := s.openDB(); err != nil {
		lock.release()
		return nil, err
	}
	return s, nil
}

func (s *Store) dbPath() string { return filepath.Join(s.dir, "state.db") }

// openDB opens the database, makes its buckets and walks all keys, so that damage
// shows here and not in the middle of something.
func (s *Store) openDB() (err error) {
	if err := s.createDB(); err != nil {
		return err
	}
	defer guard(func(reason error) { err = s.corrupt(reason) })()
	s.db, err = bolt.Open(s.dbPath(), 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return &Error{Kind: ErrLocked, Path: s.dbPath(), Err: err, Hint: "another program has this database open; stop it"}
	case err != nil && (errors.Is(err, os.ErrPermission) || isReadOnly(err) || isNoSpace(err)):
		return diskError("open", s.dbPath(), err)
	case err != nil:
		return s.corrupt(err)
	}
	err = s.db.Update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{bucketRecords, bucketMetainfo, bucketStamps, bucketClean, bucketSealed, bucketBlobs} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = s.db.View(walkKeys)
	}
	if err != nil {
		s.db.Close()
		if isNoSpace(err) || isReadOnly(err) {
			return diskError("write", s.dbPath(), err)
		}
		return s.corrupt(err)
	}
	return nil
}

// walkKeys visits every key of every bucket.
func walkKeys(tx *bolt.Tx) error {
	var walk func(b *bolt.Bucket) error
	walk = func(b *bolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return walk(b.Bucket(k))
			}
			return nil
		})
	}
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return walk(b) })
}

// guard makes a panic, or a fault while reading mapped memory, an error: a
// damaged database causes both. Use: defer guard(f)().
func guard(failed func(error)) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			err, ok := r.(error)
			if !ok {
				err = fmt.Errorf("%v", r)
			}
			failed(err)
		}
	}
}

func (s *Store) corrupt(reason error) error {
	return &Error{Kind: ErrCorrupt, Path: s.dbPath(), Err: reason,
		Hint: fmt.Sprintf("move it aside (mv %s %s.bad) and start again: only knowledge is lost, no content; unfinished downloads are found and checked again, and what was published must be named again to be seeded",
			s.dbPath(), s.dbPath())}
}

func (s *Store) view(fn func(*bolt.Tx) error) (err error) {
	defer guard(func(reason error) { err = s.corrupt(reason) })()
	return s.dbError("read", s.db.View(fn))
}

func (s *Store) update(fn func(*bolt.Tx) error) (err error) {
	defer guard(func(reason error) { err = s.corrupt(reason) })()
	return s.dbError("write", s.db.Update(fn))
}

func (s *Store) dbError(what string, err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return &Error{Kind: ErrClosed, Path: s.dir}
	}
	return diskError(what, s.dbPath(), err)
}

// Load lists what the store remembers, but for what is Hidden, in the order of infohashes. A record that
// is damaged is left out and named in the error, beside those that are not.
func (s *Store) Load() (records []Record, err error) {
	var damaged []error
	err = s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketRecords).ForEach(func(k, b []byte) error {
			if len(k) != 20 {
				return nil
			}
			ih := [20]byte(k)
			v, err := unseal(b)
			if err != nil {
				damaged = append(damaged, s.corruptRecord(bucketRecords, ih, err))
				return nil
			}
			w, err := s.parseRow(ih, v)
			if err != nil {
				damaged = append(damaged, err)
				return nil
			}
			if !w.Hidden {
				records = append(records, w.record(ih))
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return records, errors.Join(damaged...)
}

// Torrent parses the metainfo of a record. Errors match ErrNotFound or ErrCorrupt.
func (s *Store) Torrent(infohash [20]byte) (*manifest.Torrent, error) {
	b, err := s.get(bucketMetainfo, infohash)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, &Error{Kind: ErrNotFound, Path: hex.EncodeToString(infohash[:])}
	}
	t, err := manifest.Parse(b)
	if err != nil {
		return nil, s.corruptRecord(bucketMetainfo, infohash, err)
	}
	return t, nil
}

// Forget closes the content if it is open and deletes its record, and with it a
// download's staging tree. Sources and finished files stay.
func (s *Store) Forget(infohash [20]byte) error {
	s.mu.Lock()
	c := s.open[infohash]
	s.mu.Unlock()
	if c != nil {
		c.abandon()
	}
	w, err := s.row(infohash)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	if w != nil && w.Kind == Partial {
		if err := discardStaging(w.Dest, infohash); err != nil {
			return err
		}
	}
	gone := [][]byte{infohash[:]}
	if w != nil && w.Kind == Sealed {
		gone = append(gone, w.Inner)
	}
	return s.update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{bucketRecords, bucketMetainfo, bucketStamps, bucketClean, bucketSealed} {
			for _, ih := range gone {
				if err := tx.Bucket(b).Delete(ih); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Blob returns a copy of what SetBlob stored, nil when there is nothing.
func (s *Store) Blob(bucket, key string) (v []byte, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketBlobs).Bucket([]byte(bucket))
		if b == nil {
			return nil
		}
		raw := b.Get([]byte(key))
		if raw == nil {
			return nil
		}
		if v, err = unseal(raw); err != nil {
			return s.corruptBlob(bucket, key, err)
		}
		return nil
	})
	return v, err
}

func (s *Store) corruptBlob(bucket, key string, err error) error {
	return &Error{Kind: ErrCorrupt, Path: s.dbPath(), Detail: fmt.Sprintf("%s %q", bucket, key), Err: err}
}

// SetBlob stores a small value durably; nil deletes it. bucket and key must not
// be empty.
func (s *Store) SetBlob(bucket, key string, v []byte) error {
	return s.update(func(tx *bolt.Tx) error {
		b, err := tx.Bucket(bucketBlobs).CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		if v == nil {
			return b.Delete([]byte(key))
		}
		return b.Put([]byte(key), seal(v))
	})
}

// Blobs returns copies of all values of a bucket. Damaged ones are left out and
// named in the error.
func (s *Store) Blobs(bucket string) (map[string][]byte, error) {
	all := make(map[string][]byte)
	var damaged []error
	err := s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketBlobs).Bucket([]byte(bucket))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, raw []byte) error {
			v, err := unseal(raw)
			if err != nil {
				damaged = append(damaged, s.corruptBlob(bucket, string(k), err))
				return nil
			}
			all[string(bytes.Clone(k))] = v
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return all, errors.Join(damaged...)
}

// Close closes every content properly and gives the directory free.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var contents []*Content
	for _, c := range s.open {
		if c != nil {
			contents = append(contents, c)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, c := range contents {
		errs = append(errs, c.Close())
	}
	errs = append(errs, s.db.Close())
	s.lock.release()
	return errors.Join(errs...)
}

// reserve makes sure that a torrent is opened once only; release undoes it.
func (s *Store) reserve(ih [20]byte, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return &Error{Kind: ErrClosed, Path: s.dir}
	}
	if _, ok := s.open[ih]; ok {
		return &Error{Kind: ErrOpen, Path: name}
	}
	s.open[ih] = nil
	return nil
}

// settle ends what reserve began, with the content or with the error that kept it
// from being opened.
func (s *Store) settle(ih [20]byte, c *Content, err error) (*Content, error) {
	s.mu.Lock()
	closed := s.closed
	if err == nil && !closed {
		s.open[ih] = c
	} else {
		delete(s.open, ih)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if closed {
		c.abandon()
		return nil, &Error{Kind: ErrClosed, Path: s.dir}
	}
	return c, nil
}

func (s *Store) unlist(c *Content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[c.ih] == c {
		delete(s.open, c.ih)
	}
}

// workers is how many goroutines hash at once.
func workers() int { return runtime.GOMAXPROCS(0) }
