package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"handful/signing"
	"handful/signing/durable"
	"handful/signing/keyfile"
	"handful/swarm/console"
)

func writerCommand(a *console.App) *cobra.Command {
	cmd := a.Group(&cobra.Command{
		Use:   "writer",
		Short: "Let others publish in a channel, each with a key and a log of their own",
		Long: `A channel has a main writer and may have others, whom it grants. Each signs a log of its
own on a machine of its own, so nobody waits for anybody. On the other's machine:

    seed writer join LINK alice        makes alice's key here, and alice.pub
    seed post -c CHANNEL "Hello"       publishes as alice, once she is granted

On the machine of the channel's owner:

    seed writer add alice alice.pub --paths docs/
    seed writer revoke alice`,
	})
	cmd.AddCommand(writerAdd(a), writerRevoke(a), writerLs(a), writerJoin(a), writerRenew(a))
	return cmd
}

func writerAdd(a *console.App) *cobra.Command {
	var paths, bases []string
	var need int
	var out, renew string
	cmd := &cobra.Command{
		Use:   "add NAME KEY...",
		Short: "Grant a writer, or change its keys and paths",
		Long: `Add grants a writer: KEY are files of Ed25519 public keys. --paths says under which names
it may publish: a name, or a directory and a slash for all below it; without, any. A writer
that is there already gets these keys and paths in place of those before; --base takes its
log back, after its key was stolen.

The targets key signs, which for a beginner is the online key. If it is not here the bytes
to sign are written to N.targets.payload, and "seed root add" takes the signatures in.

Exit status: 0, 1, 2, 10, 11, 14.`,
		Example: "  seed writer add alice alice.pub --paths docs/",
		Args:    a.Args(2, -1, "a name and the file of a public key"),
	}
	channel := channelFlag(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&paths, "paths", nil, "names under which the writer may publish: docs/, README; default: any")
	f.IntVar(&need, "need", 0, "how many of the keys must sign; 0 = all")
	f.StringVar(&renew, "renew", "", "when the grants expire from now: 1y, 12h; default: as before, at first 1y")
	f.StringSliceVar(&bases, "base", nil, "SIZE or SIZE:HASH: the writer's log goes back to its first SIZE entries")
	f.StringVarP(&out, "output", "o", ".", "directory for the bytes to sign")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if !signing.ValidDelegate(name) {
			return console.Usagef("use 1 to 32 of a-z, 0-9, dot, dash and underscore; m, root, snapshot, targets and timestamp are taken", "%q cannot be the name of a writer", name)
		}
		keys, err := publicKeys(a, args[1:])
		if err != nil {
			return err
		}
		w := signing.WriterParams{Name: name, Role: signing.RoleParams{Keys: keys, Threshold: need}, Paths: patterns(paths)}
		if n := cmp.Or(need, len(keys)); n > 1 {
			a.Out().Print(console.Warning{Message: fmt.Sprintf("all that %s publishes needs the signatures of %d keys, which is for other programs: seed brings such signatures together for the main writer alone (--need 1)", name, n)})
		}
		return editBook(cmd.Context(), a, *channel, out, func(b *book) error {
			if err := b.needKeys(); err != nil {
				return err
			}
			writers := slices.DeleteFunc(b.writersOf(), func(o signing.WriterParams) bool { return o.Name == name })
			return b.editTargets(a, append(writers, w), bases, name, renew)
		})
	}
	return cmd
}

// patterns turns docs/ into docs/*, as documents say it.
func patterns(paths []string) (out []string) {
	for _, p := range paths {
		if strings.HasSuffix(p, "/") {
			p += "*"
		}
		out = append(out, p)
	}
	return out
}

// editTargets proposes the next targets document.
func (b *book) editTargets(a *console.App, writers []signing.WriterParams, bases []string, name, renew string) error {
	p := signing.TargetsParams{Writers: writers, Before: b.keys.Document(), Expires: a.Env.Now().AddDate(1, 0, 0)}
	if old := b.keys.Document(); old != nil && renew == "" {
		p.Expires = old.Expires()
	}
	if renew != "" {
		var err error
		if p.Expires, err = expiresIn(a.Env.Now(), renew); err != nil {
			return err
		}
	}
	for _, text := range bases {
		base, err := b.base(name, text)
		if err != nil {
			return err
		}
		p.Base = map[string]signing.Base{name: base}
	}
	doc, err := signing.NewTargets(p)
	if err != nil {
		return &console.Fault{Code: console.Usage, Message: "propose the next targets document", Err: err}
	}
	explainTargets(a, b.id, doc, b.keys.Document())
	if a.Common.DryRun {
		return nil
	}
	if b.next.targets != nil {
		a.Out().Print(replaced("targets", b.next.targets.Version()))
	}
	_, err = b.proposeTargets(doc)
	return err
}

func writerRevoke(a *console.App) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Let a writer publish no more",
		Long: `Revoke drops a writer. What it published stays, as far as followers have it; its log ends
there. To take back what was published with a stolen key use "seed writer add" with another
key and --base first.

Exit status: 0, 1, 10 (there is no such writer), 11, 14.`,
		Args: a.Args(1, 1, "the writer's name"),
	}
	channel := channelFlag(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", ".", "directory for the bytes to sign")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return editBook(cmd.Context(), a, *channel, out, func(b *book) error {
			if err := b.needKeys(); err != nil {
				return err
			}
			before := b.writersOf()
			writers := slices.DeleteFunc(slices.Clone(before), func(o signing.WriterParams) bool { return o.Name == args[0] })
			if len(writers) == len(before) {
				return &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("channel %s has no writer %q", b.id, args[0]), Hint: "see `seed writer ls`"}
			}
			return b.editTargets(a, writers, nil, args[0], "")
		})
	}
	return cmd
}

func writerRenew(a *console.App) *cobra.Command {
	var out, renew string
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Grant the same writers again, for longer",
		Args:  a.Args(0, 0, ""),
	}
	channel := channelFlag(cmd)
	cmd.Flags().StringVar(&renew, "renew", "1y", "when the grants expire from now: 1y, 90d")
	cmd.Flags().StringVarP(&out, "output", "o", ".", "directory for the bytes to sign")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return editBook(cmd.Context(), a, *channel, out, func(b *book) error {
			if err := b.needKeys(); err != nil {
				return err
			}
			return b.editTargets(a, b.writersOf(), nil, "", renew)
		})
	}
	return cmd
}

func writerLs(a *console.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List who may publish in a channel",
		Args:  a.Args(0, 0, ""),
	}
	channel := channelFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return console.WithState(cmd.Context(), a, openOffline, func(_ context.Context, _ lister) error {
			stateDir, err := a.StateDir()
			if err != nil {
				return err
			}
			b, err := openBook(stateDir, *channel)
			if err != nil {
				return err
			}
			if err := b.needKeys(); err != nil {
				return err
			}
			role := b.keys.Newest().Role(signing.RoleTimestamp)
			a.Out().Print(console.Writer{Channel: b.id.String(), Name: signing.MainWriter, Paths: []string{"*"}, Keys: keyNames(role), Need: role.Threshold, Here: b.keys.Online != nil})
			doc := b.keys.Document()
			if doc == nil {
				return nil
			}
			for _, name := range doc.Writers() {
				w, err := doc.Writer(name)
				if err != nil {
					return err
				}
				a.Out().Print(console.Writer{Channel: b.id.String(), Name: name, Paths: append([]string{}, w.Paths...), Keys: keyNames(w.Role), Need: w.Role.Threshold})
			}
			return nil
		})
	}
	return cmd
}

func keyNames(r signing.Role) (out []string) {
	for _, k := range r.Keys {
		out = append(out, k.ID())
	}
	return out
}

// guest is a writer of somebody else's channel, whose key is here:
//
//	STATE/writers/<id>/key.pem      signs the heads of the writer; a thief can publish as the
//	                                writer until the channel's owner revokes it
//	STATE/writers/<id>/name         one line: the writer
//	STATE/writers/<id>/link         one line: the link with which it joined
//	STATE/writers/<id>/new          there until the log is made
//	STATE/writers/<id>/documents    what is known of the channel
type guest struct {
	dir  string
	id   signing.ID
	name string
	link signing.Link
	key  ed25519.PrivateKey
	new  bool
}

func guestDir(stateDir string, id signing.ID) string {
	return filepath.Join(writersDir(stateDir), id.String())
}

func writersDir(stateDir string) string { return filepath.Join(stateDir, "writers") }

// openGuest reads the writer that this machine is in a channel; its error is an
// fs.ErrNotExist when it is none.
func openGuest(stateDir string, id signing.ID) (*guest, error) {
	g := &guest{dir: guestDir(stateDir, id), id: id}
	key, err := keyfile.ReadKey(filepath.Join(g.dir, "key.pem"))
	if err != nil {
		return nil, err
	}
	g.key = key
	line := func(name string) (string, error) {
		b, err := durable.ReadFile(durable.OS{}, filepath.Join(g.dir, name), 64<<10)
		return strings.TrimSpace(string(b)), err
	}
	if g.name, err = line("name"); err != nil {
		return nil, err
	}
	text, err := line("link")
	if err != nil {
		return nil, err
	}
	if g.link, err = signing.ParseLink(text); err != nil || g.link.ID != id || !signing.ValidDelegate(g.name) {
		return nil, &console.Fault{Code: console.Failed, Message: g.dir + " is damaged", Hint: "restore it from a backup, or join anew under another name", Err: err}
	}
	_, err = os.Stat(filepath.Join(g.dir, "new"))
	g.new = err == nil
	return g, nil
}

// used notes that the writer has a log now.
func (g *guest) used() error {
	if err := os.Remove(filepath.Join(g.dir, "new")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.OS{}.SyncDir(g.dir)
}

func writerJoin(a *console.App) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "join LINK|- NAME",
		Short: "Make a key here, to write in somebody else's channel",
		Long: `Join makes a key for writing in the channel of LINK under NAME, and writes its public half
to NAME.pub: give that file to the channel's owner. Once they have run "seed writer add",
"seed post" and "seed publish" with -c publish here as NAME. Every machine that writes
needs a name of its own: one key on two machines breaks the writer's log.

The link of a private channel must have its key, #k=: it is kept here. Join prints a reader's
key as well, which the owner adds with "seed reader add NAME KEY": later read keys are sent
to it, and without the newest one nothing is published here.

Exit status: 0, 1, 2 (no link), 14 (the name stands for another channel, or a key is there).`,
		Args: a.Args(2, 2, "a link and a name"),
	}
	channel := cmd.Flags().StringP("channel", "c", defaultChannel, "what to call the channel here")
	cmd.Flags().StringVarP(&out, "output", "o", ".", "directory for the public key")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, name := args[0], args[1]
		if text == "-" {
			b, err := readExport(a, "-")
			if err != nil {
				return err
			}
			text = strings.TrimSpace(string(b))
		}
		if _, err := signing.ParseID(text); err == nil {
			text = "handful:" + text
		}
		link, err := signing.ParseLink(text)
		if err != nil {
			return err
		}
		if !signing.ValidDelegate(name) {
			return console.Usagef("use 1 to 32 of a-z, 0-9, dot, dash and underscore; m, root, snapshot, targets and timestamp are taken", "%q cannot be the name of a writer", name)
		}
		if err := checkChannelName(*channel); err != nil {
			return err
		}
		if a.Common.DryRun {
			return nil
		}
		return console.WithState(cmd.Context(), a, openOffline, func(_ context.Context, _ lister) error {
			return join(a, *channel, link, name, out)
		})
	}
	return cmd
}

func join(a *console.App, channel string, link signing.Link, name, out string) error {
	stateDir, err := a.StateDir()
	if err != nil {
		return err
	}
	dir := guestDir(stateDir, link.ID)
	readKey := link.ReadKey
	link.ReadKey = ""
	g, err := openGuest(stateDir, link.ID)
	if err == nil && g.name != name {
		return &console.Fault{Code: console.NoSpace, Message: fmt.Sprintf("this machine is writer %s of channel %s already", g.name, link.ID), Hint: "use another --state-dir for a second writer"}
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err := nameChannel(stateDir, channel, link.ID); err != nil {
			return err
		}
		if g, err = newGuest(dir, link, name); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	text, err := keyfile.EncodePublic(g.key.Public())
	if err != nil {
		return err
	}
	path := filepath.Join(a.Env.Path(out), name+".pub")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	k, err := signing.NewKey(g.key.Public())
	if err != nil {
		return err
	}
	a.Out().Print(console.PublicKey{Path: path, Key: k.ID(), For: "writer " + name})
	public, err := g.unlock(stateDir, readKey)
	if err == nil && public != "" {
		a.Out().Print(console.ReaderKey{Key: public, Path: g.readerPath()})
	}
	return err
}

// newGuest makes the key and what belongs to it; the key comes last, so that without it
// nothing was made.
func newGuest(dir string, link signing.Link, name string) (*guest, error) {
	key, err := keyfile.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := (durable.OS{}).MkdirAll(dir); err != nil {
		return nil, err
	}
	for file, text := range map[string]string{"name": name, "link": link.String(), "new": "nothing was published yet"} {
		if err := durable.WriteFile(durable.OS{}, filepath.Join(dir, file), []byte(text+"\n")); err != nil {
			return nil, err
		}
	}
	if err := keyfile.WriteKey(filepath.Join(dir, "key.pem"), key); err != nil {
		return nil, err
	}
	return &guest{dir: dir, id: link.ID, name: name, link: link, key: key, new: true}, nil
}
