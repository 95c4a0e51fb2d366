package manifest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"handful/manifest/bencode"
)

// update rewrites the vectors. That changes what old versions understand: look at
// the difference before it is committed.
var update = flag.Bool("update", false, "rewrite testdata")

// vectorTree is small enough to be checked with sha1sum and sha256sum.
func vectorTree(t *testing.T) string {
	root := filepath.Join(t.TempDir(), "vector")
	write(t, root, "hello.txt", []byte("hello\n"), 0o644)
	write(t, root, "bin/run", []byte("#!/bin/sh\necho run\n"), 0o755)
	write(t, root, "bin/zeros", make([]byte, 40_000), 0o644)
	write(t, root, "empty", nil, 0o644)
	write(t, root, "caf\u00e9", []byte("NFC\n"), 0o644)
	if err := os.Mkdir(filepath.Join(root, "void"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../hello.txt", filepath.Join(root, "bin", "link")); err != nil {
		t.Fatal(err)
	}
	return root
}

// writtenTree has names that are not NFC.
func writtenTree(t testing.TB) string {
	root := filepath.Join(t.TempDir(), "de\u0301ja\u0300")
	write(t, root, "cafe\u0301/nai\u0308f", []byte("decomposed\n"), 0o644)
	write(t, root, "cafe\u0301/plain", []byte("plain\n"), 0o644)
	write(t, root, "caf\u00e9s", []byte("composed\n"), 0o755)
	write(t, root, "plain/e\u0301", nil, 0o644)
	if err := os.MkdirAll(filepath.Join(root, "plain", "vide\u0301"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"lien":                "cafe\u0301/nai\u0308f",
		"cafe\u0301/le\u0301": "../plain/vide\u0301",
		"through":             "lie\u0301/e\u0301", // what is behind a link
		"lie\u0301":           "plain",
		"nowhere":             "o\u0308",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// print writes the value that r stands at so that a person can read it: one
// string or number a line, what is no text in hexadecimal.
func print(w *strings.Builder, r *bencode.Reader, indent string) {
	switch r.Kind() {
	case 'i':
		fmt.Fprintf(w, "%d\n", r.Int())
	case 's':
		w.WriteString(text(r.Bytes()) + "\n")
	case 'l':
		w.WriteString("list\n")
		r.List(func() {
			w.WriteString(indent + "  - ")
			print(w, r, indent+"    ")
		})
	case 'd':
		w.WriteString("dict\n")
		r.Dict(func(key string) {
			w.WriteString(indent + "  " + text([]byte(key)) + ": ")
			print(w, r, indent+"  ")
		})
	}
}

func text(b []byte) string {
	readable := utf8.Valid(b)
	for _, r := range string(b) {
		readable = readable && (unicode.IsPrint(r) || r == '\n')
	}
	if readable && nfc(string(b)) != string(b) {
		return strconv.QuoteToASCII(string(b)) // it would look like its NFC
	}
	if readable {
		return strconv.Quote(string(b))
	}
	return fmt.Sprintf("%x", b)
}

// golden compares got with the vector of that name, and the vector's readable
// form with the one beside it.
func golden(t *testing.T, name, head string, got []byte) {
	t.Helper()
	readable := new(strings.Builder)
	readable.WriteString(head)
	r := bencode.NewReader(got)
	print(readable, r, "")
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{name: got, name + ".txt": []byte(readable.String())} {
		path := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(want, data) {
			t.Errorf("%s is not what was made, %v:\n%q\n%q", path, err, want, data)
		}
	}
}

func TestVectors(t *testing.T) {
	for name, root := range map[string]string{"tree": vectorTree(t), "written": writtenTree(t)} {
		for _, format := range formats {
			tor, _ := build(t, BuildOptions{Format: format}, root)
			head := fmt.Sprintf("%s as %s\nSHA-1 of the info dict   %x\nSHA-256 of the info dict %x\n", tor.Name, format, tor.infoSHA1, tor.infoSum)
			golden(t, name+"-"+format.String()+".torrent", head, tor.WithSources([]string{"http://tracker.example/announce"}, nil).Bytes())
		}
	}
	for i, e := range entries() {
		b := e.Bytes()
		golden(t, fmt.Sprintf("%d-%s.entry", i, e.Kind()), fmt.Sprintf("%d bytes\n%q\n", len(b), b), b)
	}
}
