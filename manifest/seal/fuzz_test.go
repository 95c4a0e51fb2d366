package seal

import (
	"bytes"
	"testing"

	"filippo.io/age"

	"handful/manifest"
)

func FuzzParseKey(f *testing.F) {
	k := testKey(f, 7)
	f.Add(k.Text())
	f.Add(k.Recipient())
	f.Add("AGE-SECRET-KEY-1")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := ParseKey(s); err == nil && k.Text() != s {
			t.Fatalf("%q prints %q", s, k.Text())
		}
		if b, err := decodeBech32("x", s); err == nil && encodeBech32("x", b) != s {
			t.Fatalf("%q prints %q", s, encodeBech32("x", b))
		}
		if m, err := NewMember("ann", s); err == nil && m.Recipient != s {
			t.Fatalf("%q became %q", s, m.Recipient)
		}
	})
}

func FuzzParseRing(f *testing.F) {
	f.Add(vector(f, "keys"))
	f.Add([]byte(ringTitle + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRing(b); err == nil && !bytes.Equal(r.Bytes(), b) {
			t.Fatalf("%q prints %q", b, r.Bytes())
		}
	})
}

// FuzzOpenEntry opens boxes of anybody, and boxes with any plaintext by who has the key.
func FuzzOpenEntry(f *testing.F) {
	k := testKey(f, 7)
	f.Add(vector(f, "entry.age"), false)
	f.Add(vector(f, "entry-by-age.age"), false)
	f.Add(manifest.Post{Head: head(), Title: "Tea at four"}.Bytes(), true)
	f.Fuzz(func(t *testing.T, b []byte, inside bool) {
		s := manifest.Sealed{Head: head(), Box: b}
		if inside {
			if len(b) > manifest.MaxEntry {
				return
			}
			plain := make([]byte, padded(int64(max(minEntry, len(b)))))
			copy(plain, b)
			st, err := k.stream("entry", [32]byte{}, int64(len(plain)))
			if err != nil {
				t.Fatal(err)
			}
			s.Box = readAll(t, newReader(st, bytes.NewReader(plain), nil))
		}
		e, err := OpenEntry([]Key{k}, s)
		if err != nil {
			return
		}
		again, err := k.SealEntry(e.Bytes(), s.Head.Pointers)
		if err != nil {
			return // inside it was short enough
		}
		if got, err := OpenEntry([]Key{k}, again); err != nil || !bytes.Equal(got.Bytes(), e.Bytes()) {
			t.Fatalf("%v, %v", got, err)
		}
	})
}

func FuzzOpenKey(f *testing.F) {
	f.Add(vector(f, "key-by-age.age"))
	own := []age.Identity{identity(f, testKey(f, 10))}
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := OpenKey(b, own); err == nil && k.IsZero() {
			t.Fatal("it opened and there is no key")
		}
	})
}

// FuzzOpen opens ciphertext of anybody, and any plaintext that somebody with the key sealed.
func FuzzOpen(f *testing.F) {
	k := testKey(f, 7)
	f.Add(vector(f, "content.age"), false)
	f.Add(vector(f, "content-by-age.age"), false)
	tr := vectorTree(f, k)
	l, err := layoutOf(tr.t)
	if err != nil {
		f.Fatal(err)
	}
	plain := make([]byte, l.size)
	if _, err := (plaintext{l, tr.read}).ReadAt(plain, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(plain, true)
	f.Fuzz(func(t *testing.T, b []byte, inside bool) {
		if inside {
			s, err := k.stream("content", [32]byte{}, int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			b = readAll(t, newReader(s, bytes.NewReader(b), nil))
		}
		o, err := Open([]Key{k}, bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for i := range min(o.Torrent.NumPieces(), 20) {
			if n := o.Torrent.PieceSize(i); n < 1<<20 {
				o.ReadPiece(make([]byte, n), i)
			}
		}
		for i := range min(len(o.Torrent.Files), 20) {
			o.ReadFileAt(i, make([]byte, 10), 0)
		}
		r, err := o.Reader(func(file int, p []byte, off int64) error {
			_, err := o.ReadFileAt(file, p, off)
			return err
		})
		if err == nil && !bytes.Equal(readAll(t, r), b) {
			t.Fatal("it does not become the same again")
		}
	})
}

func FuzzRestore(f *testing.F) {
	k := testKey(f, 7)
	tr := vectorTree(f, k)
	r, err := k.Seal(tr.t, tr.read)
	if err != nil {
		f.Fatal(err)
	}
	readAll(f, r)
	state, err := r.State()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Restore(b, tr.t, tr.read)
		if err != nil {
			return
		}
		if again, err := r.State(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q prints %q, %v", b, again, err)
		}
	})
}
