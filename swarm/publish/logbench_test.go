package publish

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"handful/signing"
)

// BenchmarkOpenLog reads a log of 100 000 entries again, as each start does.
func BenchmarkOpenLog(b *testing.B) {
	var entries, hashes []byte
	var m signing.Memory
	for i := range int64(100_000) {
		e := post(fmt.Sprint("post ", i))
		hs, err := tlog.StoredHashes(i, e, &m)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Append(e, hs); err != nil {
			b.Fatal(err)
		}
		entries = append(binary.BigEndian.AppendUint32(entries, uint32(len(e))), e...)
		for _, h := range hs {
			hashes = append(hashes, h[:]...)
		}
	}
	c := config(b, nil)
	dir := b.TempDir()
	for name, data := range map[string][]byte{entriesFile: entries, hashesFile: hashes} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if l := open(b, dir, c); l.Size() != 100_000 {
			b.Fatalf("%d entries", l.Size())
		}
	}
}

// BenchmarkAppendSign publishes one entry on a real disk.
func BenchmarkAppendSign(b *testing.B) {
	c := config(b, nil)
	l := open(b, b.TempDir(), c)
	for b.Loop() {
		if _, err := l.Append(post("one more")); err != nil {
			b.Fatal(err)
		}
		if _, err := l.Sign(testTime); err != nil {
			b.Fatal(err)
		}
	}
}
