package main

import (
	"golang.org/x/mod/sumdb/tlog"

	"handful/signing"
	"handful/swarm/mirror"
)

// wholeLog is a log, up to a head, as a bundle needs it.
type wholeLog struct {
	log  keptLog
	size int64
}

// keptLog is a publisher's log, or the copy of another writer's.
type keptLog interface {
	UpdateWithin(size int64, limit int) (signing.Update, error)
	ReadHashes(indexes []int64) ([]tlog.Hash, error)
	Page(first, count, size int64) (signing.Page, error)
}

func (l wholeLog) News() (signing.Update, bool) {
	u, err := l.log.UpdateWithin(0, mirror.MaxNews)
	return u, err == nil
}

func (l wholeLog) First() int64 { return 0 }
func (l wholeLog) Size() int64  { return l.size }

func (l wholeLog) Leaves(first, count int64) ([][32]byte, error) {
	indexes := make([]int64, 0, count)
	for i := range count {
		indexes = append(indexes, tlog.StoredHashIndex(0, first+i))
	}
	hashes, err := l.log.ReadHashes(indexes)
	if err != nil {
		return nil, err
	}
	out := make([][32]byte, 0, len(hashes))
	for _, h := range hashes {
		out = append(out, h)
	}
	return out, nil
}

func (l wholeLog) Page(first, count int64) (signing.Page, error) {
	return l.log.Page(first, count, l.size)
}
