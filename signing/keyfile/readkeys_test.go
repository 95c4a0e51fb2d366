package keyfile

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestReadKeys: what opens a private channel is kept beside its keys, is part of the export,
// and comes out of the import.
func TestReadKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := create(t, dir)
	if text, err := ReadKeys(dir, k.ID); err != nil || text != nil {
		t.Errorf("there is %q, %v", text, err)
	}
	want := []byte("# keys\nAGE-SECRET-KEY-1\n")
	if err := WriteReadKeys(dir, k.ID, nil); err == nil {
		t.Error("nothing was kept")
	}
	if err := WriteReadKeys(dir, k.ID, want); err != nil {
		t.Fatal(err)
	}
	k, err := Open(dir, k.ID)
	if err != nil || !bytes.Equal(k.Read, want) {
		t.Fatalf("%q, %v", k.Read, err)
	}
	text, err := k.Export()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "keys")
	for range 2 { // the second time it does nothing
		if _, err := Import(other, text); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ReadKeys(other, k.ID); err != nil || !bytes.Equal(got, want) {
		t.Errorf("imported: %q, %v", got, err)
	}
	if _, err := ParseExport(bytes.Replace(text, []byte("HANDFUL READ KEYS"), []byte("HANDFUL RED KEYS"), 2)); err == nil {
		t.Error("another block was taken for read keys")
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(filepath.Join(dir, k.ID.String(), "read.keys"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeys(dir, k.ID); err == nil {
		t.Error("keys that others can read were read")
	}
}
