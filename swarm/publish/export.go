package publish

import "golang.org/x/mod/sumdb/tlog"

// ReadHashes returns hashes of the log's tree, numbered as by tlog.StoredHashIndex, for
// those who put the log elsewhere.
func (l *Log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.disk.ReadHashes(indexes)
}
