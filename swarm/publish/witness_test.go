package publish

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"handful/signing"
	"handful/signing/durable/crashfs"
)

// witness is a C2SP tlog-witness for one log: it knows the log's plain key, checks that heads
// continue what it has signed, and cosigns.
type witness struct {
	t     *testing.T
	name  string
	key   ed25519.PrivateKey
	log   note.Verifier
	size  int64
	root  tlog.Hash
	asked int
}

func (w *witness) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.asked++
	body, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/w/add-checkpoint" {
		http.Error(out, "bad request", http.StatusBadRequest)
		return
	}
	head, checkpoint, _ := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	var old int64
	if _, err := fmt.Sscanf(lines[0], "old %d", &old); err != nil {
		http.Error(out, "no old size", http.StatusBadRequest)
		return
	}
	n, err := note.Open([]byte(checkpoint), note.VerifierList(w.log))
	if err != nil {
		http.Error(out, err.Error(), http.StatusForbidden)
		return
	}
	h, err := signing.ParseHeadText(n.Text)
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	if old != w.size {
		out.WriteHeader(http.StatusConflict)
		fmt.Fprintf(out, "%d\n", w.size)
		return
	}
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		b, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		proof = append(proof, tlog.Hash(b))
	}
	if old > 0 && old < h.Size {
		if err := tlog.CheckTree(proof, h.Size, h.Root, old, w.root); err != nil {
			http.Error(out, err.Error(), http.StatusUnprocessableEntity)
			return
		}
	}
	w.size, w.root = h.Size, h.Root
	cosigned, err := signing.CosignHead([]byte(checkpoint), w.name, w.key, testTime.Add(time.Hour))
	if err != nil {
		w.t.Error(err)
	}
	for line := range strings.Lines(string(cosigned)) {
		if strings.HasPrefix(line, "— "+w.name+" ") {
			io.WriteString(out, line)
		}
	}
}

func TestWitness(t *testing.T) {
	root := testRoot(t)
	w := &witness{t: t, name: "example.org/w", key: seedKey(40)}
	edit := signing.RootEdit{Witnesses: []signing.Witness{signing.NewWitness(w.name, w.key.Public().(ed25519.PublicKey))}}
	one := 1
	edit.Quorum = &one
	next, err := root.Edit(edit)
	if err == nil {
		err = next.Sign(seedKey(1))
	}
	if err == nil {
		next, err = root.Next(next.Bytes())
	}
	if err != nil {
		t.Fatal(err)
	}
	origin := signing.Origin(root.ID(), signing.MainWriter)
	vkey, err := note.NewEd25519VerifierKey(origin, seedKey(2).Public().(ed25519.PublicKey))
	if err == nil {
		w.log, err = note.NewVerifier(vkey)
	}
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w)
	defer server.Close()

	l := open(t, "log", LogConfig{Root: next, Key: seedKey(2), New: true, FS: crashfs.New()})
	c := &Witness{Name: w.name, URL: server.URL + "/w/", Client: server.Client()}
	signs := func(texts ...string) (signing.Head, error) {
		for _, text := range texts {
			if _, err := l.Append(post(text)); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := l.Propose(testTime.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Accept(raw); !errors.Is(err, signing.ErrWitness) {
			t.Errorf("accepted without a witness: %v", err)
		}
		if raw, err = c.Cosign(t.Context(), raw, l); err != nil {
			return signing.Head{}, err
		}
		return l.Accept(raw)
	}
	for i, texts := range [][]string{{"a", "b"}, {"c"}, {}, {"d", "e"}} {
		h, err := signs(texts...)
		if err != nil {
			t.Fatalf("head %d: %v", i, err)
		}
		if _, err := next.OpenHead(signing.MainWriter, h.Raw); err != nil {
			t.Error(err)
		}
	}
	// Another process knows nothing of what the witness has signed, and is told.
	c = &Witness{Name: w.name, URL: server.URL + "/w", Client: server.Client()}
	asked := w.asked
	if _, err := signs("f"); err != nil || w.asked != asked+2 {
		t.Errorf("after a restart, asked %d times: %v", w.asked-asked, err)
	}
	// A witness that has seen more than the log has: the log is an old backup.
	w.size = 99
	c = &Witness{Name: w.name, URL: server.URL + "/w", Client: server.Client()}
	if _, err := signs("g"); !errors.Is(err, signing.ErrRollback) {
		t.Errorf("over less than the witness has signed: %v", err)
	}
	server.Close()
	if _, err := signs("h"); err == nil {
		t.Error("signed without the witness")
	}
}
