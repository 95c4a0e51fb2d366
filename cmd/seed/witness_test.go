package main

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"handful/signing"
)

// serveWitness NAME runs a witness at $URL, whose key is $VKEY, until the script ends. It
// believes what it is told; one that checks is in package publish.
func serveWitness(ts *testscript.TestScript, _ bool, args []string) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	known := "0"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		proof, checkpoint, _ := strings.Cut(string(body), "\n\n")
		h, perr := signing.ParseHead([]byte(checkpoint))
		if err != nil || perr != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if old, _, _ := strings.Cut(proof, "\n"); old != "old "+known {
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, known+"\n")
			return
		}
		known = fmt.Sprint(h.Size)
		cosigned, err := signing.CosignHead([]byte(checkpoint), args[0], key, time.Now())
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		for line := range strings.Lines(string(cosigned)) {
			if strings.HasPrefix(line, "— "+args[0]+" ") {
				io.WriteString(w, line)
			}
		}
	}))
	ts.Defer(srv.Close)
	ts.Setenv("URL", srv.URL)
	ts.Setenv("VKEY", signing.NewWitness(args[0], key.Public().(ed25519.PublicKey)).String())
}
