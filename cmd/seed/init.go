package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/console"
)

// initRequest is what a new channel is to be.
type initRequest struct {
	channel, title, out, renew string
	root, head, targets        []string // files of public keys
	dht                        string
	need, needHead, needTargs  int
	maxAge                     []string
	private                    bool
}

func initCommand(a *console.App) *cobra.Command {
	var r initRequest
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a channel, also one whose keys are held by several people",
		Long: `Init makes a channel. Without --root all its keys are made here, as publishing does by
itself. With --root the root document lists the public keys that others made, PEM, of
signify, minisign or OpenSSH, Ed25519 or ECDSA on P-256; how many of them must sign is
--need. The exact bytes that they sign are written to 1.root.payload:

    openssl pkeyutl -sign -rawin -inkey a.pem -in 1.root.payload -out a.sig
    minisign -S -l -s a.key -m 1.root.payload     signify -S -s a.sec -m 1.root.payload
    seed sign 1.root.payload --ssh-agent          seed sign 1.root.payload --key a.pem

"seed root add a.sig b.sig" takes the signatures in; when they are enough the channel
exists. Its id is known before, since it does not depend on signatures. Without --head
the key that signs what is published is made here, and stays here.

Exit status: 0, 1, 2, 10 (no such key file), 11, 14.`,
		Example: "  seed init --title News\n  seed init --root a.pub,b.pub,c.pub --need 2 -c acme",
		Args:    a.Args(0, 0, ""),
	}
	f := cmd.Flags()
	f.StringVarP(&r.channel, "channel", "c", defaultChannel, "what to call the channel here")
	f.StringVar(&r.title, "title", "", "what the channel calls itself; default: its name")
	f.StringSliceVar(&r.root, "root", nil, "files of the public keys that may replace the root document")
	f.IntVar(&r.need, "need", 0, "how many of them must sign; 0 = all")
	f.StringSliceVar(&r.head, "head", nil, "files of the public keys that publish; default: one is made here")
	f.IntVar(&r.needHead, "need-head", 0, "how many of them must sign; 0 = all")
	f.StringSliceVar(&r.targets, "targets", nil, "files of the public keys that grant writers; default: those that publish")
	f.IntVar(&r.needTargs, "need-targets", 0, "how many of them must sign; 0 = all")
	f.StringVar(&r.dht, "dht-key", "", "file of the public key for the DHT; default: one is made where the head key is")
	f.StringSliceVar(&r.maxAge, "max-age", nil, "age from which news count as late: DURATION or WRITER=DURATION")
	f.StringVar(&r.renew, "renew", "", "when the root document expires: 1y, 90d")
	f.BoolVar(&r.private, "private", false, "the channel is not announced in public")
	f.StringVarP(&r.out, "output", "o", ".", "directory for the bytes to sign")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkChannelName(r.channel); err != nil {
			return err
		}
		if _, err := signing.ParseID(r.channel); err == nil {
			return console.Usagef("give it a name with -c", "a new channel is not called by an id")
		}
		return console.WithState(cmd.Context(), a, openOffline, func(ctx context.Context, l lister) error { return r.run(ctx, a, l) })
	}
	return cmd
}

func (r *initRequest) run(ctx context.Context, a *console.App, l lister) error {
	defer l.Exclusive()()
	stateDir, err := a.StateDir()
	if err != nil {
		return err
	}
	if id, err := findChannel(stateDir, r.channel); err == nil && !abandoned(stateDir, r.channel, id) {
		if err := resume(a, stateDir, id, r.out); err != nil {
			return err
		}
		if r.channel != defaultChannel {
			return &console.Fault{Code: console.NoSpace, Message: fmt.Sprintf("%q already names channel %s", r.channel, id), Hint: "give the new one another name with -c"}
		}
		return &console.Fault{Code: console.NoSpace, Message: fmt.Sprintf("there is channel %s already", id), Hint: "give the new one a name with -c"}
	}
	if r.title == "" {
		r.title = r.channel
	}
	p, made, err := r.params(a)
	if err != nil {
		return err
	}
	doc, err := signing.NewRoot(p)
	if err != nil {
		return &console.Fault{Code: console.Usage, Message: "make the root document", Err: err}
	}
	explainRoot(a, doc.ID(), doc, nil)
	if a.Common.DryRun {
		return nil
	}
	if key := made["root"]; key != nil {
		if err := doc.Sign(key); err != nil {
			return err
		}
	}
	b := &book{stateDir: stateDir, id: doc.ID(), next: &pending{dir: pendingDir(stateDir, doc.ID()), keys: made, fresh: true}}
	if err := b.next.write(pendingNew, []byte("nothing was published yet\n")); err != nil {
		return err
	}
	for name, key := range made {
		if err := b.next.keepKey(name, key); err != nil {
			return err
		}
	}
	if err := nameChannel(stateDir, r.channel, doc.ID()); err != nil {
		return err
	}
	return finishEdit(ctx, a, l, b, r.out, func(b *book) error {
		inForce, err := b.proposeRoot(doc)
		a.Out().Print(console.Key{Channel: b.id.String(), Name: r.channel, Link: signing.Link{ID: b.id, Index: -1}.String(),
			Path: r.path(b, inForce), Root: public(made["root"]), Online: public(made["head"]), DHT: public(made["dht"])})
		return err
	})
}

// abandoned forgets a channel whose making was interrupted before there was a document: only its
// name is there, and keys that no document names.
func abandoned(stateDir, name string, id signing.ID) bool {
	if _, err := signing.ParseID(name); err == nil {
		return false
	}
	if _, err := openBookOf(stateDir, id); !errors.Is(err, keyfile.ErrNotFound) {
		return false
	}
	if _, err := openGuest(stateDir, id); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if _, err := os.Stat(filepath.Join(stateDir, "logs", id.String())); !errors.Is(err, fs.ErrNotExist) {
		return false // its keys are lost, or elsewhere
	}
	return errors.Join(os.RemoveAll(pendingDir(stateDir, id)), os.Remove(filepath.Join(stateDir, "names", name))) == nil
}

// resume brings a channel that has only a proposed document to where its making was interrupted:
// the document comes into force, or the bytes to sign are written again.
func resume(a *console.App, stateDir string, id signing.ID, out string) error {
	b, err := openBookOf(stateDir, id)
	if err != nil || b.keys != nil || b.next.root == nil || a.Common.DryRun {
		return nil // what is wrong with it is said elsewhere
	}
	if _, err := b.finishRoot(); err != nil {
		return err
	}
	return b.payloads(a, out)
}

func (r *initRequest) path(b *book, inForce bool) string {
	if inForce {
		return filepath.Join(keysDir(b.stateDir), b.id.String())
	}
	return b.next.dir
}

// params turns the request into a root document's parameters, and makes the keys that
// nobody gave.
func (r *initRequest) params(a *console.App) (p signing.RootParams, made map[string]ed25519.PrivateKey, err error) {
	made = make(map[string]ed25519.PrivateKey)
	role := func(name string, files []string, need int) (signing.RoleParams, error) {
		if len(files) == 0 {
			if need > 1 {
				return signing.RoleParams{}, console.Usagef("name the files of their public keys", "%d signatures cannot come from the one key that is made here", need)
			}
			key, err := keyfile.Generate(rand.Reader)
			made[name] = key
			return signing.RoleParams{Keys: []crypto.PublicKey{key.Public()}}, err
		}
		keys, err := publicKeys(a, files)
		return signing.RoleParams{Keys: keys, Threshold: need}, err
	}
	now := a.Env.Now()
	p = signing.RootParams{Title: r.title, Private: r.private}
	if p.Root, err = role("root", r.root, r.need); err != nil {
		return p, nil, err
	}
	if p.Timestamp, err = role("head", r.head, r.needHead); err != nil {
		return p, nil, err
	}
	if p.Targets = p.Timestamp; len(r.targets) > 0 {
		if p.Targets, err = role("targets", r.targets, r.needTargs); err != nil {
			return p, nil, err
		}
	}
	if r.dht != "" {
		k, err := publicKey(a, r.dht)
		if err != nil {
			return p, nil, err
		}
		if p.DHT = k.Ed25519(); p.DHT == nil {
			return p, nil, console.Usagef("", "--dht-key: an Ed25519 key is needed, not %s", k)
		}
	} else if made["head"] != nil {
		if made["dht"], err = keyfile.Generate(rand.Reader); err != nil {
			return p, nil, err
		}
		p.DHT = made["dht"].Public().(ed25519.PublicKey)
	}
	if p.MaxAge, err = ages(r.maxAge); err != nil {
		return p, nil, err
	}
	p.Expires, err = r.expires(now)
	return p, made, err
}

func (r *initRequest) expires(now time.Time) (time.Time, error) {
	switch {
	case r.renew != "":
		return expiresIn(now, r.renew)
	case len(r.root) > 1:
		return now.AddDate(1, 0, 0), nil
	}
	return now.AddDate(2, 0, 0), nil
}
