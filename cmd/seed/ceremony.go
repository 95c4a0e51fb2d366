package main

import (
	"context"
	"crypto"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"handful/signing"
	"handful/signing/durable"
	"handful/swarm/console"
)

// What the commands have in common that change who may sign.

// editBook runs an edit of a channel's documents under the lock of the state directory:
// here, or in the node that runs. What came into force by it is told to that node, and
// what lacks signatures becomes a file to sign, in the directory out.
func editBook(ctx context.Context, a *console.App, channel, out string, edit func(b *book) error) error {
	return console.WithState(ctx, a, openOffline, func(ctx context.Context, l lister) error {
		stateDir, err := a.StateDir()
		if err != nil {
			return err
		}
		b, err := openBook(stateDir, channel)
		if err != nil {
			return err
		}
		return finishEdit(ctx, a, l, b, out, edit)
	})
}

func finishEdit(ctx context.Context, a *console.App, l lister, b *book, out string, edit func(b *book) error) error {
	root, targets := b.versions()
	if err := edit(b); err != nil {
		return err
	}
	if r, t := b.versions(); r != root || t != targets {
		told, err := l.Reload(ctx, b.id)
		if err != nil {
			return fmt.Errorf("the new documents are in force, but the running node does not follow them: %w", err)
		}
		if r != root {
			doc := b.keys.Newest()
			a.Out().Print(console.Document{Channel: b.id.String(), Document: "root", Version: doc.Version(), Expires: doc.Expires().Format(time.RFC3339), Waiting: !told})
		}
		if t != targets {
			doc := b.keys.Document()
			a.Out().Print(console.Document{Channel: b.id.String(), Document: "targets", Version: doc.Version(), Expires: doc.Expires().Format(time.RFC3339), Waiting: !told})
		}
	}
	return b.payloads(a, out)
}

// versions are those in force.
func (b *book) versions() (root, targets int64) {
	if b.keys == nil {
		return 0, 0
	}
	if doc := b.keys.Document(); doc != nil {
		targets = doc.Version()
	}
	return b.keys.Newest().Version(), targets
}

// payloads writes the bytes that are to be signed, for documents that wait.
func (b *book) payloads(a *console.App, out string) error {
	if doc := b.next.root; doc != nil {
		own, old := b.lackingRoot()
		path, err := writePayload(a, out, fmt.Sprintf("%d.root.payload", doc.Version()), doc.Payload())
		if err != nil {
			return err
		}
		a.Out().Print(console.Payload{Channel: b.id.String(), Document: "root", Version: doc.Version(), Path: path, Lacking: own, LackingBefore: old})
	}
	if doc := b.next.targets; doc != nil {
		path, err := writePayload(a, out, fmt.Sprintf("%d.targets.payload", doc.Version()), doc.Payload())
		if err != nil {
			return err
		}
		lacking := doc.Lacking(b.keys.Newest().Role(signing.RoleTargets))
		a.Out().Print(console.Payload{Channel: b.id.String(), Document: "targets", Version: doc.Version(), Path: path, Lacking: lacking})
	}
	return nil
}

func writePayload(a *console.App, out, name string, payload []byte) (string, error) {
	path := filepath.Join(a.Env.Path(out), name)
	if err := os.WriteFile(path, payload, 0o644); err != nil {
		return "", fmt.Errorf("write what is to be signed: %w", err)
	}
	return path, nil
}

// explainRoot prints what a proposed root document says.
func explainRoot(a *console.App, id signing.ID, doc, before *signing.Root) {
	e := console.Explanation{Document: "root", Version: doc.Version(), Text: doc.Explain(before)}
	if !id.IsZero() {
		e.Channel = id.String()
	}
	a.Out().Print(e)
}

func explainTargets(a *console.App, id signing.ID, doc, before *signing.Targets) {
	e := console.Explanation{Document: "targets", Version: doc.Version(), Text: doc.Explain(before)}
	if !id.IsZero() {
		e.Channel = id.String()
	}
	a.Out().Print(e)
}

// publicKeys reads files with public keys of other programs.
func publicKeys(a *console.App, files []string) (keys []crypto.PublicKey, err error) {
	for _, file := range files {
		k, err := publicKey(a, file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k.Public())
	}
	return keys, nil
}

func publicKey(a *console.App, file string) (signing.Key, error) {
	b, err := durable.ReadFile(durable.OS{}, a.Env.Path(file), 16<<10)
	if err != nil {
		return signing.Key{}, err
	}
	k, err := signing.ParsePublicKey(b)
	if err != nil {
		return k, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

// keyIDs turns what names keys, files of public keys or the beginnings of key ids, into
// what [signing.RoleEdit] takes.
func keyIDs(a *console.App, words []string) (ids []string, err error) {
	for _, w := range words {
		if _, err := os.Stat(a.Env.Path(w)); err == nil {
			k, err := publicKey(a, w)
			if err != nil {
				return nil, err
			}
			w = k.ID()
		} else if len(w) < 8 || strings.Trim(w, "0123456789abcdef") != "" {
			return nil, console.Usagef("name the file of a public key, or at least 8 digits of a key id, which `seed root show` prints", "%q names no key", w)
		}
		ids = append(ids, w)
	}
	return ids, nil
}

// expiresIn reads when a document is to expire: 1y, 2y, or a span such as 90d.
func expiresIn(now time.Time, s string) (time.Time, error) {
	if years, ok := strings.CutSuffix(s, "y"); ok {
		if n, err := strconv.Atoi(years); err == nil && n > 0 && n <= 100 {
			return now.AddDate(n, 0, 0), nil
		}
	}
	var d time.Duration
	if err := console.SpanFlag(&d).Set(s); err != nil || d <= 0 {
		return time.Time{}, console.Usagef("", "%q is no time to expire in: 1y, 90d and 12h are", s)
	}
	return now.Add(d), nil
}

// ages reads how old news may be: WRITER=DURATION, or DURATION for the main writer.
func ages(words []string) (map[string]time.Duration, error) {
	all := make(map[string]time.Duration)
	for _, w := range words {
		writer, span, ok := strings.Cut(w, "=")
		if !ok {
			writer, span = signing.MainWriter, w
		}
		var d time.Duration
		if err := console.SpanFlag(&d).Set(span); err != nil {
			return nil, console.Usagef("", "--max-age: %v", err)
		}
		if !signing.ValidWriter(writer) {
			return nil, console.Usagef("", "--max-age: %q is no name of a writer", writer)
		}
		all[writer] = d
	}
	return all, nil
}
