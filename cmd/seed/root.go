package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"handful/signing"
	"handful/signing/durable"
	"handful/signing/keyfile"
	"handful/swarm/console"
	"handful/swarm/publish"
)

func rootCommand(a *console.App) *cobra.Command {
	cmd := a.Group(&cobra.Command{
		Use:   "root",
		Short: "Show and replace the document that says whose keys count",
		Long: `The root document of a channel says whose keys may publish, grant other writers, and
replace the document itself. Its next version needs the signatures of enough root keys of
the version before and of its own. Followers take it over by themselves.

With the root key on this machine an edit is signed and in force at once. Else it waits:
"seed root edit" writes the bytes to sign, "seed root add" takes the signatures in.`,
	})
	cmd.AddCommand(rootShow(a), rootEdit(a), rootAdd(a), rootDrop(a), rootWitness(a))
	return cmd
}

func rootShow(a *console.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Say in words what the root document says, and what is proposed",
		Long: `Show says in plain words what the root document in force says, and what a proposed one
would change. With FILE, a payload to sign or a document, it explains that.

Exit status: 0, 1, 10 (no such channel or file), 12 (FILE is not in its one spelling).`,
		Args: a.Args(0, 1, ""),
	}
	channel := channelFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return console.WithState(cmd.Context(), a, openOffline, func(_ context.Context, _ lister) error {
			stateDir, err := a.StateDir()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				d, err := readPayload(a, args[0])
				if err != nil {
					return err
				}
				d.findBefore(stateDir)
				d.explain(a)
				return nil
			}
			b, err := openBook(stateDir, *channel)
			if err != nil {
				return err
			}
			if b.keys != nil {
				explainRoot(a, b.id, b.keys.Newest(), nil)
			}
			if b.next.root != nil {
				explainRoot(a, b.id, b.next.root, b.root())
			}
			return nil
		})
	}
	return cmd
}

// rootChange is what root edit is asked for.
type rootChange struct {
	channel, out, renew, title, dht string
	drop, dropHead, dropTargets     []string
	add, addHead, addTargets        []string
	need, needHead, needTargets     int
	maxAge, witnesses, bases        []string
	needWitness                     int
	private, public                 bool
	titled                          bool
}

func rootEdit(a *console.App) *cobra.Command {
	var r rootChange
	cmd := &cobra.Command{
		Use:   "edit",
		Short: "Propose the next version of the root document",
		Long: `Edit makes the next version of the root document, says in words what it changes, and
signs it with the root key if that is on this machine. If more signatures are needed the
bytes to sign are written to N.root.payload; "seed root add" takes the signatures in.

A key to add is a file of a public key. A key to drop is such a file, or the first digits
of its id, which "seed root show" prints.

--base m=1000 takes the log back to its first 1000 entries, after a key was stolen or two
histories were signed: followers mark what came after as withdrawn. The root hash of those
entries is taken from the log here, or given as m=1000:HASH (64 hex digits). Replace the
keys that signed what is withdrawn in the same edit.

Exit status: 0, 1, 2, 10, 11, 14.`,
		Example: "  seed root edit --drop a.pub --add d.pub --renew 1y\n  seed root edit --drop-head h1.pub --add-head h2.pub --base m=1000",
		Args:    a.Args(0, 0, ""),
	}
	f := cmd.Flags()
	f.StringVarP(&r.channel, "channel", "c", defaultChannel, "channel: its name, or its id")
	f.StringSliceVar(&r.drop, "drop", nil, "root keys that go")
	f.StringSliceVar(&r.add, "add", nil, "root keys that come")
	f.IntVar(&r.need, "need", 0, "how many root keys must sign; 0 = as before")
	f.StringSliceVar(&r.dropHead, "drop-head", nil, "keys that may publish no more")
	f.StringSliceVar(&r.addHead, "add-head", nil, "keys that may publish")
	f.IntVar(&r.needHead, "need-head", 0, "how many of them must sign; 0 = as before")
	f.StringSliceVar(&r.dropTargets, "drop-targets", nil, "keys that may grant writers no more")
	f.StringSliceVar(&r.addTargets, "add-targets", nil, "keys that may grant writers")
	f.IntVar(&r.needTargets, "need-targets", 0, "how many of them must sign; 0 = as before")
	f.StringVar(&r.renew, "renew", "", "when it expires from now: 1y, 90d; default: as before")
	f.StringVar(&r.title, "title", "", "what the channel calls itself")
	f.StringVar(&r.dht, "dht-key", "", "file of another public key for the DHT")
	f.StringSliceVar(&r.maxAge, "max-age", nil, "age from which news count as late: DURATION or WRITER=DURATION; 0 = none")
	f.StringSliceVar(&r.witnesses, "witness", nil, "C2SP verifier keys of the witnesses, in place of those before")
	f.IntVar(&r.needWitness, "need-witness", 0, "how many witnesses must cosign each head; 0 = none")
	f.StringSliceVar(&r.bases, "base", nil, "WRITER=SIZE or WRITER=SIZE:HASH: the log goes back to its first SIZE entries")
	f.BoolVar(&r.private, "private", false, "the channel is not announced in public any more")
	f.BoolVar(&r.public, "public", false, "the channel is announced in public")
	f.StringVarP(&r.out, "output", "o", ".", "directory for the bytes to sign")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if r.empty(cmd.LocalFlags()) {
			return console.Usagef("see `seed help root edit`", "say what is to change")
		}
		r.titled = f.Changed("title")
		witnessed := f.Changed("witness") || f.Changed("need-witness")
		return editBook(cmd.Context(), a, r.channel, r.out, func(b *book) error {
			if err := b.needKeys(); err != nil {
				return err
			}
			e, err := r.edit(a, b, witnessed)
			if err != nil {
				return err
			}
			return b.editRoot(a, e)
		})
	}
	return cmd
}

// empty reports whether none of the command's own flags says what is to change.
func (*rootChange) empty(f *pflag.FlagSet) bool {
	empty := true
	f.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed && flag.Name != "channel" && flag.Name != "output" {
			empty = false
		}
	})
	return empty
}

// editRoot proposes the next root document.
func (b *book) editRoot(a *console.App, e signing.RootEdit) error {
	doc, err := b.keys.Newest().Edit(e)
	if err != nil {
		return &console.Fault{Code: console.Usage, Message: "propose the next root document", Err: err}
	}
	explainRoot(a, b.id, doc, b.keys.Newest())
	if b.next.root != nil {
		a.Out().Print(replaced("root", b.next.root.Version()))
	}
	if a.Common.DryRun {
		return nil
	}
	_, err = b.proposeRoot(doc)
	return err
}

// replaced says that a proposal takes the place of another, whose signatures are of no use.
func replaced(kind string, version int64) console.Warning {
	return console.Warning{Message: fmt.Sprintf("version %d of the %s document that was proposed before is dropped, and so are its signatures", version, kind)}
}

// edit turns the request into an edit.
func (r *rootChange) edit(a *console.App, b *book, witnessed bool) (e signing.RootEdit, err error) {
	for _, role := range []struct {
		to        *signing.RoleEdit
		drop, add []string
		need      int
	}{{&e.Root, r.drop, r.add, r.need}, {&e.Timestamp, r.dropHead, r.addHead, r.needHead}, {&e.Targets, r.dropTargets, r.addTargets, r.needTargets}} {
		role.to.Threshold = role.need
		if role.to.Drop, err = keyIDs(a, role.drop); err != nil {
			return e, err
		}
		if role.to.Add, err = publicKeys(a, role.add); err != nil {
			return e, err
		}
	}
	if r.renew != "" {
		if e.Expires, err = expiresIn(a.Env.Now(), r.renew); err != nil {
			return e, err
		}
	}
	if r.titled {
		e.Title = &r.title
	}
	if r.private || r.public {
		if r.private && r.public {
			return e, console.Usagef("", "--private and --public exclude each other")
		}
		e.Private = &r.private
	}
	if r.dht != "" {
		k, err := publicKey(a, r.dht)
		if err != nil {
			return e, err
		}
		if e.DHT = k.Ed25519(); e.DHT == nil {
			return e, console.Usagef("", "--dht-key: an Ed25519 key is needed, not %s", k)
		}
	}
	if e.MaxAge, err = ages(r.maxAge); err != nil {
		return e, err
	}
	if witnessed {
		for _, text := range r.witnesses {
			w, err := signing.ParseWitness(text)
			if err != nil {
				return e, console.Usagef("", "--witness: %v", err)
			}
			e.Witnesses = append(e.Witnesses, w)
		}
		e.Quorum = &r.needWitness
	}
	e.Base, err = b.bases(r.bases)
	return e, err
}

// bases reads WRITER=SIZE[:HASH]; a missing hash comes from the log here.
func (b *book) bases(words []string) (map[string]signing.Base, error) {
	all := make(map[string]signing.Base)
	for _, w := range words {
		writer, text, ok := strings.Cut(w, "=")
		if !ok {
			writer, text = signing.MainWriter, w
		}
		if !signing.ValidWriter(writer) {
			return nil, console.Usagef("", "--base: %q is no name of a writer", writer)
		}
		base, err := b.base(writer, text)
		if err != nil {
			return nil, err
		}
		all[writer] = base
	}
	return all, nil
}

func (b *book) base(writer, text string) (base signing.Base, err error) {
	size, hash, hashed := strings.Cut(text, ":")
	if base.Size, err = strconv.ParseInt(size, 10, 64); err != nil || base.Size < 0 {
		return base, console.Usagef("how many of the first entries are good", "--base: %q is no number of entries", size)
	}
	if hashed {
		raw, err := hex.DecodeString(hash)
		if err != nil || len(raw) != len(base.Root) {
			return base, console.Usagef("", "--base: %q is not the root hash of a tree, 64 hex digits", hash)
		}
		base.Root = [32]byte(raw)
		return base, nil
	}
	log, err := publish.Peek(logDir(b.stateDir, b.id, writer))
	if err != nil {
		return base, err
	}
	if base.Root, err = log.RootAt(base.Size); err != nil {
		return base, &console.Fault{Code: console.Usage, Message: "--base", Hint: "give the root hash as well, WRITER=SIZE:HASH", Err: err}
	}
	return base, nil
}

func logDir(stateDir string, id signing.ID, writer string) string {
	return filepath.Join(stateDir, "logs", id.String(), writer)
}

// copiesDir is where the logs of a channel's other writers are kept.
func copiesDir(stateDir string, id signing.ID) string {
	return filepath.Join(stateDir, "copies", id.String())
}

func rootAdd(a *console.App) *cobra.Command {
	var out string
	var fresh bool
	cmd := &cobra.Command{
		Use:   "add FILE...",
		Short: "Take in signatures of a proposed document, or a signed one",
		Long: `Add takes in signatures that other programs made over N.root.payload or
N.targets.payload: raw Ed25519 or ECDSA in DER (openssl pkeyutl -rawin), also in base64, of
minisign -S -l, of signify -S, or of ssh-agent. Which key made it is found out. When they
are enough the document is in force, and a node that runs follows it at once.

A file N.root.json, signed, is taken in as well: that is how the machine that publishes
gets what was signed elsewhere, from 1.root.json on. Before its first entry it asks the
network what was published already; of a channel in which nobody has published yet, --new
says so.

Exit status: 0, 1, 10, 11, 12 (no key of the document made the signature), 14.`,
		Example: "  seed root add a.sig b.sig\n  seed root add -c acme 1.root.json 2.root.json",
		Args:    a.Args(1, -1, "signatures, or root documents"),
	}
	channel := channelFlag(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", ".", "directory for the bytes to sign, as long as signatures are lacking")
	cmd.Flags().BoolVar(&fresh, "new", false, "nobody has published in the channel yet")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return console.WithState(cmd.Context(), a, openOffline, func(ctx context.Context, l lister) error {
			defer l.Exclusive()()
			stateDir, err := a.StateDir()
			if err != nil {
				return err
			}
			var files [][]byte
			for _, arg := range args {
				raw, err := durable.ReadFile(durable.OS{}, a.Env.Path(arg), signing.MaxTargets)
				if err != nil {
					return err
				}
				files = append(files, raw)
			}
			b, err := bookFor(stateDir, *channel, files[0])
			if err != nil {
				return err
			}
			b.next.fresh = b.next.fresh || fresh
			return finishEdit(ctx, a, l, b, out, func(b *book) error {
				for i, raw := range files {
					if err := b.take(a, raw); err != nil {
						return fmt.Errorf("%s: %w", args[i], err)
					}
				}
				return nil
			})
		})
	}
	return cmd
}

// bookFor opens the channel that -c means; a first root document makes it known here.
func bookFor(stateDir, channel string, raw []byte) (*book, error) {
	b, err := openBook(stateDir, channel)
	if !errors.Is(err, keyfile.ErrNotFound) {
		return b, err
	}
	doc, perr := signing.ParseRoot(raw)
	if perr != nil || doc.Version() != 1 {
		return nil, err
	}
	if err := nameChannel(stateDir, channel, doc.ID()); err != nil {
		return nil, err
	}
	next, err := readPending(stateDir, doc.ID(), nil)
	return &book{stateDir: stateDir, id: doc.ID(), next: next}, err
}

// isDocument tells a root document, which is JSON, from a signature. One of 256 raw ones
// begins like an object too, but no document is as short.
func isDocument(raw []byte) bool {
	return len(raw) > 0 && raw[0] == '{' && len(raw) != ed25519.SignatureSize
}

// take takes in a signature or a document.
func (b *book) take(a *console.App, raw []byte) error {
	if isDocument(raw) {
		return b.takeRoot(a, raw)
	}
	var refused error
	if doc := b.next.root; doc != nil {
		got, err := doc.Attach(raw, b.root())
		if err == nil {
			a.Out().Print(console.Signature{Document: "root", Version: doc.Version(), Key: got.Key.ID(), Form: got.Form})
			_, err = b.proposeRoot(doc)
			return err
		}
		refused = err
	}
	if doc := b.next.targets; doc != nil {
		got, err := doc.Attach(raw, b.keys.Newest().Role(signing.RoleTargets))
		if err == nil {
			a.Out().Print(console.Signature{Document: "targets", Version: doc.Version(), Key: got.Key.ID(), Form: got.Form})
			_, err = b.proposeTargets(doc)
			return err
		}
		refused = errors.Join(refused, err)
	}
	if refused == nil && b.superfluous(raw) {
		a.Out().Print(console.Note{Message: fmt.Sprintf("version %d of the root document has enough signatures and is in force", b.root().Version())})
		return nil
	}
	if errors.Is(refused, signing.ErrForged) {
		return &console.Fault{Code: console.Refused, Err: refused,
			Hint: "sign the newest payload, byte for byte, with one of the keys that `seed root show` names"}
	}
	if refused == nil {
		return &console.Fault{Code: console.NotFound, Message: "no document of the channel lacks signatures", Hint: "propose one with `seed root edit` or `seed writer add`"}
	}
	return refused
}

// superfluous reports whether a signature is over the document that is in force.
func (b *book) superfluous(raw []byte) bool {
	if b.keys == nil {
		return false
	}
	doc, err := signing.ParseRoot(b.root().Bytes())
	if err != nil {
		return false
	}
	var before *signing.Root
	if n := len(b.keys.Roots); n > 1 {
		before = b.keys.Roots[n-2]
	}
	_, err = doc.Attach(raw, before)
	return err == nil
}

// takeRoot takes in a document that was signed elsewhere, wholly or in part.
func (b *book) takeRoot(a *console.App, raw []byte) error {
	doc, err := signing.ParseRoot(raw)
	if err != nil {
		return err
	}
	switch before := b.root(); {
	case before == nil && doc.ID() != b.id:
		return fmt.Errorf("root document: %w: it is of %s, not of %s", signing.ErrOtherChannel, doc.ID(), b.id)
	case before != nil && doc.Version() <= before.Version():
		return nil // it is here already
	case before != nil && doc.Version() != before.Version()+1:
		return fmt.Errorf("root document of version %d: %w: version %d is needed first", doc.Version(), signing.ErrGap, before.Version()+1)
	}
	if own, old := doc.Lacking(b.root()); own+old > 0 && b.next.root != nil {
		return &console.Fault{Code: console.Failed, Message: fmt.Sprintf("version %d of the root document lacks signatures, and another proposal waits here", doc.Version()),
			Hint: "hand over the signatures, or drop what waits with `seed root drop`"}
	}
	explainRoot(a, b.id, doc, b.root())
	if a.Common.DryRun {
		return nil
	}
	_, err = b.proposeRoot(doc)
	return err
}

func rootDrop(a *console.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drop",
		Short: "Drop what is proposed and lacks signatures",
		Args:  a.Args(0, 0, ""),
	}
	channel := channelFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return editBook(cmd.Context(), a, *channel, ".", func(b *book) error {
			if b.next.root == nil && b.next.targets == nil {
				a.Out().Print(console.Note{Message: "nothing is proposed in the channel"})
				return nil
			}
			if doc := b.next.root; doc != nil {
				a.Out().Print(console.Note{Message: fmt.Sprintf("version %d of the root document is proposed no more", doc.Version())})
			}
			if doc := b.next.targets; doc != nil {
				a.Out().Print(console.Note{Message: fmt.Sprintf("version %d of the targets document is proposed no more", doc.Version())})
			}
			if a.Common.DryRun {
				return nil
			}
			b.next.root, b.next.targets, b.next.keys = nil, nil, map[string]ed25519.PrivateKey{}
			return b.next.drop()
		})
	}
	return cmd
}
