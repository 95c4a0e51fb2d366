package store

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// Kind says what a record is about.
type Kind int

const (
	// Partial: a download that goes on in its staging tree.
	Partial Kind = iota
	// Finished: a download that is complete and served from its destination.
	Finished
	// InPlace: a publisher's own files, served where they are.
	InPlace
	// Sealed: ciphertext of a private channel, encrypted when it is read out of the
	// files of another record, which is Hidden.
	Sealed
)

func (k Kind) String() string {
	switch k {
	case Partial:
		return "partial"
	case Finished:
		return "finished"
	case InPlace:
		return "in place"
	case Sealed:
		return "sealed"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Record is what the store remembers about one torrent.
type Record struct {
	InfoHash [20]byte
	InfoSum  [32]byte // SHA-256 of the info dict
	Kind     Kind
	Inner    [20]byte // Sealed: of the torrent of the plaintext, whose Name, Written and Dest these are
	Name     string   // of the torrent
	Written  string   // Name in the spelling of its publisher's disk
	Dest     string   // absolute directory that holds Written or will; empty when InPlace
	Length   int64    // payload bytes
	Origin   bool     // this node is where the content comes from
	Meta     []byte   // the caller's
	Uploaded int64    // bytes, as told by AddUploaded
}

// Path is where the content lies or will lie; empty when it is seeded in place.
func (r Record) Path() string {
	if r.Dest == "" {
		return ""
	}
	return filepath.Join(r.Dest, cmp.Or(r.Written, r.Name))
}

// row is a Record as it is stored, with what only this package needs.
type row struct {
	Version  int    `json:"v"`
	Kind     Kind   `json:"kind"`
	Inner    []byte `json:"inner,omitempty"`
	Hidden   bool   `json:"hidden,omitempty"`
	InfoSum  []byte `json:"info_sum"`
	Name     string `json:"name"`
	Written  string `json:"written,omitempty"` // "" in records of before there was such a thing: Name
	Dest     string `json:"dest,omitempty"`
	Length   int64  `json:"length"`
	Origin   bool   `json:"origin,omitempty"`
	Meta     []byte `json:"meta,omitempty"`
	Uploaded int64  `json:"uploaded,omitempty"`
	Layers   int    `json:"layers"`            // piece layers missing in the stored metainfo
	Force    bool   `json:"force,omitempty"`   // may replace what is at the destination
	Journal  bool   `json:"journal,omitempty"` // Partial: the rename was about to come
}

func (w *row) record(ih [20]byte) Record {
	r := Record{InfoHash: ih, Kind: w.Kind, Name: w.Name, Written: cmp.Or(w.Written, w.Name), Dest: w.Dest, Length: w.Length,
		Origin: w.Origin, Meta: w.Meta, Uploaded: w.Uploaded}
	copy(r.InfoSum[:], w.InfoSum)
	copy(r.Inner[:], w.Inner)
	return r
}

// path is where the content lies or will lie, unless it is InPlace.
func (w *row) path() string { return filepath.Join(w.Dest, cmp.Or(w.Written, w.Name)) }

// The buckets; every key is an infohash, every value sealed.
var (
	bucketRecords  = []byte("records")
	bucketMetainfo = []byte("metainfo")
	bucketStamps   = []byte("stamps") // files of content in source or final place
	bucketClean    = []byte("clean")  // files and pieces of a download closed properly
	bucketSealed   = []byte("sealed") // what sealed content is made with: seal.Reader.State
	bucketBlobs    = []byte("blobs")  // one bucket below for each of the callers'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal puts a checksum before a value, so that a flipped bit is noticed.
func seal(v []byte) []byte {
	b := make([]byte, 4, 4+len(v))
	binary.BigEndian.PutUint32(b, crc32.Checksum(v, castagnoli))
	return append(b, v...)
}

var errChecksum = errors.New("checksum does not fit")

// unseal copies the value out of the database's memory.
func unseal(b []byte) ([]byte, error) {
	if len(b) < 4 || crc32.Checksum(b[4:], castagnoli) != binary.BigEndian.Uint32(b) {
		return nil, errChecksum
	}
	return append([]byte{}, b[4:]...), nil
}

// get returns nil when there is no such value.
func (s *Store) get(bucket []byte, ih [20]byte) (v []byte, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket).Get(ih[:])
		if b == nil {
			return nil
		}
		v, err = unseal(b)
		if err != nil {
			return s.corruptRecord(bucket, ih, err)
		}
		return nil
	})
	return v, err
}

func (s *Store) corruptRecord(bucket []byte, ih [20]byte, err error) error {
	return &Error{Kind: ErrCorrupt, Path: s.dbPath(), Err: err,
		Detail: fmt.Sprintf("%s of torrent %s", bucket, hex.EncodeToString(ih[:])),
		Hint:   "forget this torrent and add it again: its content is found and checked, nothing is fetched twice"}
}

// change is one record's part of a transaction. A nil slice leaves a value as it
// is, an empty one deletes it.
type change struct {
	row      *row
	metainfo []byte
	stamps   []byte
	clean    []byte
	sealed   []byte
}

func (s *Store) put(ih [20]byte, c change) error {
	return s.update(func(tx *bolt.Tx) error {
		if c.row != nil {
			v, err := json.Marshal(c.row)
			if err != nil {
				return err
			}
			if err := tx.Bucket(bucketRecords).Put(ih[:], seal(v)); err != nil {
				return err
			}
		}
		for _, p := range []struct{ bucket, value []byte }{
			{bucketMetainfo, c.metainfo}, {bucketStamps, c.stamps}, {bucketClean, c.clean}, {bucketSealed, c.sealed},
		} {
			var err error
			switch {
			case p.value == nil:
			case len(p.value) == 0:
				err = tx.Bucket(p.bucket).Delete(ih[:])
			default:
				err = tx.Bucket(p.bucket).Put(ih[:], seal(p.value))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// row returns nil when there is no record.
func (s *Store) row(ih [20]byte) (*row, error) {
	v, err := s.get(bucketRecords, ih)
	if v == nil || err != nil {
		return nil, err
	}
	return s.parseRow(ih, v)
}

func (s *Store) parseRow(ih [20]byte, v []byte) (*row, error) {
	w := new(row)
	if err := json.Unmarshal(v, w); err != nil {
		return nil, s.corruptRecord(bucketRecords, ih, err)
	}
	if w.Version != 1 || len(w.InfoSum) != 32 || w.Kind < Partial || w.Kind > Sealed {
		return nil, s.corruptRecord(bucketRecords, ih, fmt.Errorf("version %d, kind %d", w.Version, w.Kind))
	}
	return w, nil
}
