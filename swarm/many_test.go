package swarm

import (
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"handful/manifest"
	"handful/manifest/bencode"
	"handful/swarm/store"
)

// manyFiles is the info dict of n files that all have the same ten bytes.
func manyFiles(n int) (info []byte, content string) {
	const pieceLength = 64 << 10
	content = "0123456789"
	all := strings.Repeat(content, n)
	var v1, v2 []byte
	for i := 0; i < len(all); i += pieceLength {
		piece := []byte(all[i:min(len(all), i+pieceLength)])
		a, b := sha1.Sum(piece), sha256.Sum256(piece)
		v1, v2 = append(v1, a[:]...), append(v2, b[:]...)
	}
	info = []byte("d5:filesl")
	for i := range n {
		info = append(info, "d6:lengthi10e4:pathl"...)
		info = bencode.AppendString(info, fmt.Sprintf("directory-%03d", i/1000))
		info = bencode.AppendString(info, fmt.Sprintf("file-number-%06d.txt", i))
		info = append(info, "ee"...)
	}
	info = append(info, "e4:name4:many12:piece length"...)
	info = bencode.AppendInt(info, pieceLength)
	info = bencode.AppendString(append(info, "6:pieces"...), v1)
	info = bencode.AppendString(append(info, "13:sha256 pieces"...), v2)
	return append(info, 'e'), content
}

var errEnough = errors.New("the metadata is all that is wanted")

// TestMetadataOfManyFilesFromALink: the info dict of 100 000 files comes from a peer
// to somebody who has the infohash and the promised SHA-256 alone.
func TestMetadataOfManyFilesFromALink(t *testing.T) {
	const files = 100_000
	info, content := manyFiles(files)
	if len(info) >= 8<<20 {
		t.Fatalf("the info dict has %d bytes", len(info))
	}
	tor, err := manifest.ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "all")
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	_, one, err := manifest.Build(t.Context(), []string{path}, manifest.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sources := make([]manifest.Source, files)
	for i := range sources {
		sources[i] = one[0]
	}
	origin := startNode(t, "origin", nil)
	c, err := origin.store.Seed(tor, sources, store.SeedOptions{Origin: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := origin.Add(Spec{Content: c, Origin: true}); err != nil {
		t.Fatal(err)
	}
	leech := startNode(t, "leech", nil)
	var got *manifest.Torrent
	sum := tor.InfoSum()
	it, err := leech.Add(Spec{
		Infohash: Infohash(tor.InfoHash()), InfoSum: &sum, Peers: origin.Addrs(),
		Open: func(tor *manifest.Torrent) (*store.Content, error) { got = tor; return nil, errEnough },
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-it.Done():
	case <-time.After(60 * time.Second):
		t.Fatalf("%+v", it.Snapshot())
	}
	if err := it.Err(); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if len(got.Files) != files || got.InfoSum() != sum {
		t.Fatalf("%d files came", len(got.Files))
	}
	t.Logf("info dict of %d bytes", len(info))
}
