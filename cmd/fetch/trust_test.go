package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/follow"
)

// testKey is a key that everybody knows.
func testKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

// demoLog is the log of a channel with three entries: a post, the media that a path has,
// and a post that says last.
func demoLog(ts *testscript.TestScript, root *signing.Root, path, last string) *signing.Log {
	l, err := signing.NewLog(root.ID(), signing.MainWriter, &signing.Memory{}, 1)
	ts.Check(err)
	t, _, err := manifest.Build(context.Background(), []string{path}, manifest.BuildOptions{Format: manifest.FormatHybrid, PieceLength: manifest.BlockSize})
	ts.Check(err)
	media := manifest.Media{InfoSum: t.InfoSum(), Name: t.Name, Size: t.Length()}
	media.InfoHashV1, media.HasV1 = t.InfoHashV1()
	for _, e := range []manifest.Entry{manifest.Post{Title: "Hello"}, media, manifest.Post{Title: last}} {
		_, err := l.Append(e.Bytes())
		ts.Check(err)
	}
	_, err = l.SignHead(testKey(2), time.Now())
	ts.Check(err)
	return l
}

// channel VARIABLE PATH [forked] puts into the state what a follower believes of a channel,
// its id into a variable, and a proof of its second entry, the media of PATH, into "proof".
func makeChannel(ts *testscript.TestScript, _ bool, args []string) {
	role := func(b byte) signing.RoleParams {
		return signing.RoleParams{Keys: []crypto.PublicKey{testKey(b).Public()}}
	}
	title := fmt.Sprint("Demo ", len(args)) // so that a forked one is another channel
	root, err := signing.NewRoot(signing.RootParams{Title: title, Expires: time.Now().AddDate(2, 0, 0), Root: role(1), Targets: role(2), Timestamp: role(2)})
	ts.Check(err)
	ts.Check(root.Sign(testKey(1)))
	trust, err := follow.OpenTrust(filepath.Join(ts.Getenv("HANDFUL_STATE_DIR"), "fetch", "trust"), root.ID())
	ts.Check(err)
	ts.Check(trust.UpdateRoot(root.Bytes()))
	u, err := demoLog(ts, root, ts.MkAbs(args[1]), "Bye").UpdateFor(0)
	ts.Check(err)
	_, err = trust.UpdateHead(signing.MainWriter, u, time.Now())
	ts.Check(err)
	page, _ := trust.Page(signing.MainWriter, 1, 1)
	proof, err := trust.Prove(signing.MainWriter, page, 1)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("proof"), proof.Bytes(), 0o644))
	if len(args) > 2 {
		u, err := demoLog(ts, root, ts.MkAbs(args[1]), "Another").UpdateFor(0)
		ts.Check(err)
		if _, err := trust.UpdateHead(signing.MainWriter, u, time.Now()); err == nil {
			ts.Fatalf("two histories are no fork")
		}
	}
	ts.Setenv(args[0], root.ID().String())
}
