package tuftest

import (
	"bufio"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// vector returns a byte string of the test vectors of package signing.
func vector(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "testdata", "vectors.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" = "); ok {
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("no vector %s: %v", name, lines.Err())
	return nil
}

// TestVectors lets go-tuf verify the root document that package signing prints as its
// example, and keep what TUF does not know.
func TestVectors(t *testing.T) {
	doc, err := metadata.Root().FromBytes(vector(t, "root.document"))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.VerifyDelegate("root", doc); err != nil {
		t.Fatal(err)
	}
	if _, ok := doc.Signed.UnrecognizedFields["x-handful"]; !ok {
		t.Error("go-tuf drops x-handful")
	}
	sameIDs(t, doc)
	targets, err := metadata.Targets().FromBytes(vector(t, "targets.document"))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.VerifyDelegate("targets", targets); err != nil {
		t.Error(err)
	}
	first, err := metadata.Root().FromBytes(vector(t, "organisation.document"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := metadata.Root().FromBytes(vector(t, "organisation.document.2"))
	if err != nil {
		t.Fatal(err)
	}
	sameIDs(t, first)
	for _, by := range []*metadata.Metadata[metadata.RootType]{first, second} {
		if err := by.VerifyDelegate("root", second); err != nil {
			t.Error(err)
		}
	}
}

// sameIDs checks that keys have the key ids that go-tuf gives them.
func sameIDs(t *testing.T, doc *metadata.Metadata[metadata.RootType]) {
	t.Helper()
	for id, k := range doc.Signed.Keys {
		if own, err := k.ID(); err != nil || own != id {
			t.Errorf("key %s is %s to go-tuf: %v", id, own, err)
		}
	}
}
