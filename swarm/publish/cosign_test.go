package publish

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"handful/signing"
	"handful/signing/durable/crashfs"
)

// twoHeads makes version 2 of testRoot: heads need the keys 2 and 8.
func twoHeads(t *testing.T) *signing.Root {
	t.Helper()
	first := testRoot(t)
	next, err := first.Edit(signing.RootEdit{Timestamp: signing.RoleEdit{Add: []crypto.PublicKey{seedKey(8).Public()}, Threshold: 2}})
	if err == nil {
		err = next.Sign(seedKey(1))
	}
	if err == nil {
		next, err = first.Next(next.Bytes())
	}
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// holderAt runs a Holder of key 8, whose documents are what root points to.
func holderAt(t *testing.T, fs *crashfs.FS, root **signing.Root) (*Holder, func() *Witness) {
	t.Helper()
	h := &Holder{
		Documents: func() (*signing.Root, *signing.Targets, error) { return *root, nil, nil },
		Writer:    signing.MainWriter, Key: seedKey(8), File: "cosigned/m", FS: fs, Now: func() time.Time { return testTime },
	}
	if err := fs.MkdirAll("cosigned"); err != nil {
		t.Fatal(err)
	}
	if err := h.Check(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return h, func() *Witness {
		return &Witness{Name: signing.Origin((*root).ID(), signing.MainWriter), URL: server.URL, Client: server.Client()}
	}
}

// signsWith publishes entries with the signature of a further holder.
func signsWith(t *testing.T, l *Log, w *Witness, texts ...string) error {
	t.Helper()
	for _, text := range texts {
		if _, err := l.Append(post(text)); err != nil {
			return err
		}
	}
	raw, err := l.Propose(testTime)
	if err != nil {
		return err
	}
	if _, err := l.Accept(raw); !errors.Is(err, signing.ErrForged) {
		t.Errorf("one signature is enough: %v", err)
	}
	if raw, err = w.Cosign(t.Context(), raw, l); err != nil {
		return err
	}
	_, err = l.Accept(raw)
	return err
}

// TestHolder: two machines sign one history, and never two.
func TestHolder(t *testing.T) {
	root := twoHeads(t)
	fs := crashfs.New()
	_, asks := holderAt(t, fs, &root)
	c := LogConfig{Root: root, Key: seedKey(2), New: true, FS: crashfs.New()}
	l := open(t, "log", c)
	w := asks()
	for _, texts := range [][]string{{"a", "b"}, {"c"}, {}, {"d", "e"}} {
		if err := signsWith(t, l, w, texts...); err != nil {
			t.Fatal(err)
		}
	}
	f := signing.NewTrusted(root.ID())
	for _, doc := range [][]byte{testRoot(t).Bytes(), root.Bytes()} {
		if err := f.UpdateRoot(doc); err != nil {
			t.Fatal(err)
		}
	}
	u, err := l.UpdateFor(0)
	if err == nil {
		_, err = f.UpdateHead(signing.MainWriter, u, testTime)
	}
	if err != nil || f.Size(signing.MainWriter) != 5 {
		t.Fatalf("a follower has %d entries: %v", f.Size(signing.MainWriter), err)
	}

	// Both start anew, and it goes on.
	_, asks = holderAt(t, fs, &root)
	if err := signsWith(t, l, asks(), "f"); err != nil {
		t.Fatal(err)
	}

	// Another history, shorter, as long, longer; and one of a thief who has neither key.
	c.FS = crashfs.New()
	for _, texts := range [][]string{{"a", "b", "c"}, {"d", "e", "g"}, {"h"}} {
		other := open(t, "log", c)
		c.New = false
		err := signsWith(t, other, asks(), texts...)
		if err == nil || other.Head().Raw != nil {
			t.Errorf("another history of %d entries was signed", other.Size())
		}
		other.Close()
	}
	c.FS, c.New, c.Key = crashfs.New(), true, seedKey(8) // the holder's own key is no other's
	own := open(t, "log", c)
	if err := signsWith(t, own, asks(), "a"); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("asked with its own key alone: %v", err)
	}
}

// TestHolderBase: a base takes the holder back too, once.
func TestHolderBase(t *testing.T) {
	root := twoHeads(t)
	fs := crashfs.New()
	_, asks := holderAt(t, fs, &root)
	l := open(t, "log", LogConfig{Root: root, Key: seedKey(2), New: true, FS: crashfs.New()})
	w := asks()
	if err := signsWith(t, l, w, "a", "b", "bad", "worse"); err != nil {
		t.Fatal(err)
	}
	next, err := root.Edit(signing.RootEdit{Base: baseAt(t, l, 2)})
	if err == nil {
		err = next.Sign(seedKey(1))
	}
	if err == nil {
		next, err = root.Next(next.Bytes())
	}
	if err == nil {
		err = l.Adopt(next, nil, seedKey(2))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := signsWith(t, l, w, "c"); err == nil {
		t.Error("signed without the document that takes the log back")
	}
	root = next
	if err := signsWith(t, l, w); err != nil {
		t.Fatal(err)
	}
	if err := signsWith(t, l, w, "d"); err != nil || l.Head().Size != 4 {
		t.Fatalf("%d entries are signed: %v", l.Head().Size, err)
	}
	_, asks = holderAt(t, fs, &root)
	if err := signsWith(t, l, asks(), "e"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// TestHolderCrash: whenever the machine of the holder fails, what it has signed is on its disk.
func TestHolderCrash(t *testing.T) {
	for _, landed := range []bool{false, true} {
		for n := 1; ; n++ {
			root := twoHeads(t)
			fs := crashfs.New()
			_, asks := holderAt(t, fs, &root)
			l := open(t, "log", LogConfig{Root: root, Key: seedKey(2), New: true, FS: crashfs.New()})
			if err := signsWith(t, l, asks(), "a"); err != nil {
				t.Fatal(err)
			}
			fs.Restart(crashfs.Keep)
			fs.FailAt(n, landed)
			signed := signsWith(t, l, asks(), "b") == nil
			crashed := fs.Crashed()
			if signed == crashed {
				t.Fatalf("step %d: signed %v, crashed %v", n, signed, crashed)
			}
			fs.Restart(crashfs.Losses[0])
			_, asks = holderAt(t, fs, &root)
			if err := signsWith(t, l, asks(), "c"); err != nil {
				t.Fatalf("step %d: it does not go on: %v", n, err)
			}
			if !crashed {
				if n < 4 {
					t.Fatalf("only %d steps", n)
				}
				break
			}
		}
	}
}

// TestHolderRefuses what is no request.
func TestHolderRefuses(t *testing.T) {
	root := twoHeads(t)
	fs := crashfs.New()
	h, _ := holderAt(t, fs, &root)
	l := open(t, "log", LogConfig{Root: root, Key: seedKey(2), New: true, FS: crashfs.New()})
	if _, err := l.Append(post("a")); err != nil {
		t.Fatal(err)
	}
	raw, err := l.Propose(testTime)
	if err != nil {
		t.Fatal(err)
	}
	late, err := l.Propose(testTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		body string
		code int
	}{
		"nothing":           {"", 400},
		"no old":            {"\n\n" + string(raw), 400},
		"a negative size":   {"old -1\n\n" + string(raw), 400},
		"two spellings":     {"old 00\n\n" + string(raw), 400},
		"larger than it is": {"old 2\n\n" + string(raw), 400},
		"not where it is":   {"old 1\n\n" + string(raw), 409},
		"a needless proof":  {"old 0\n" + strings.Repeat("A", 43) + "=\n\n" + string(raw), 400},
		"half a hash":       {"old 0\nAAAA\n\n" + string(raw), 400},
		"no checkpoint":     {"old 0\n\nhello", 400},
		"ahead of time":     {"old 0\n\n" + string(late), 403},
		"too long":          {"old 0\n\n" + string(raw) + strings.Repeat("x", maxAddCheckpoint), 400},
		"forged":            {"old 0\n\n" + strings.Replace(string(raw), "\n1\n", "\n2\n", 1), 403},
	} {
		out := httptest.NewRecorder()
		h.ServeHTTP(out, httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader(tt.body)))
		if out.Code != tt.code {
			t.Errorf("%s: %d %q, want %d", name, out.Code, out.Body, tt.code)
		}
	}
	if _, err := fs.Open(h.File); err == nil {
		t.Error("something was signed")
	}
}

// FuzzAddCheckpoint: what is read prints back.
func FuzzAddCheckpoint(f *testing.F) {
	f.Add([]byte("old 0\n\na\n1\nroot\n\nline\n"))
	f.Add([]byte("old 12\n" + strings.Repeat("A", 43) + "=\n\na\n13\nroot\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		old, proof, raw, err := parseAddCheckpoint(b)
		if err != nil {
			return
		}
		again := fmt.Appendf(nil, "old %d\n", old)
		for _, h := range proof {
			again = fmt.Appendln(again, base64.StdEncoding.EncodeToString(h[:]))
		}
		if again = append(append(again, '\n'), raw...); string(again) != string(b) {
			t.Fatalf("%q is read as %q", b, again)
		}
	})
}
