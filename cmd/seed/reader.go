package main

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"handful/manifest"
	"handful/manifest/seal"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/console"
)

// rekeyRequest is who reads a private channel from now on.
type rekeyRequest struct {
	Channel string
	Add     *seal.Member // gets the current key
	Remove  string       // does not get the next one
}

func readerCommand(a *console.App, serve *cobra.Command) *cobra.Command {
	cmd := a.Group(&cobra.Command{
		Use:   "reader",
		Short: "Say who reads a private channel",
		Long: `Whoever has the link of a private channel, with the key behind #k=, reads what is
sealed with that key. Readers whose public keys are known here ("fetch key" prints
one) are sent keys through the channel itself: the present one when they are added,
and each new one.

Who is removed gets no new key, and reads none of the later entries. What could be
read before stays readable for whoever could read it: nobody can be made to forget.`,
	})
	cmd.AddCommand(readerAdd(a, serve), readerRemove(a, serve), readerList(a), readerLink(a))
	return cmd
}

// rekeying runs a request with a node, and stays with it if it is this command's own.
func rekeying(a *console.App, serve *cobra.Command, cmd *cobra.Command, leave *bool, r rekeyRequest) error {
	if err := checkChannelName(r.Channel); err != nil {
		return err
	}
	return console.WithNode(cmd.Context(), a, tree, opener(a), func(ctx context.Context, n node) error {
		if a.Env.Held == nil {
			a.Out().Print(n.Listening())
		}
		out, err := n.Rekey(ctx, r)
		if err != nil {
			return err
		}
		a.Out().Print(out)
		return stayAfter(ctx, a, serve, n, *leave)
	})
}

func leaveFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("no-wait", false, "leave the sending to a running seed serve, or to the next one")
}

func readerAdd(a *console.App, serve *cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "add NAME AGE-KEY",
		Short:   "Send a channel's read key to a reader",
		Example: "  seed reader add -c board ann age17allfvg83zlaef3v5za3vr2z0n6hvtv9726u445q0myu8l4mmcyscdhd3a",
		Long: `Add remembers a reader, under a name of your own, with the public key that "fetch key"
printed there, and sends the present read key to all readers.

Exit status: 0, 1, 2 (no such name or key), 10 (no such channel), 11, 14, 130 and 143.`,
		Args: a.Args(2, 2, "a name, and a key that begins with age1"),
	}
	channel, leave := channelFlag(cmd), leaveFlag(cmd)
	a.AddNode(true, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		m, err := seal.NewMember(args[0], args[1])
		if err != nil {
			return console.Usagef("`fetch key` prints one, on the reader's machine", "%v", err)
		}
		return rekeying(a, serve, cmd, leave, rekeyRequest{Channel: *channel, Add: &m})
	}
	return cmd
}

func readerRemove(a *console.App, serve *cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Let somebody read no later entries",
		Long: `Remove makes a new read key and sends it to all readers but one, who reads no later
entries then. So do those who have the link and are no readers: they need a new one.

Exit status: 0, 1, 10 (no such channel or reader), 11, 14, 130 and 143.`,
		Args: a.Args(1, 1, "the name of a reader"),
	}
	channel, leave := channelFlag(cmd), leaveFlag(cmd)
	a.AddNode(true, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return rekeying(a, serve, cmd, leave, rekeyRequest{Channel: *channel, Remove: args[0]})
	}
	return cmd
}

func rekeyCommand(a *console.App, serve *cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rekey",
		Short: "Make a new read key for the later entries of a private channel",
		Long: `Rekey makes a new read key, sends it to all readers through the channel, and seals
all later entries with it: for when a link went to somebody who should not have it.
Whoever is no reader needs the new link, which is printed.

Exit status: 0, 1, 10 (no such channel), 11, 14, 130 and 143.`,
		Args: a.Args(0, 0, ""),
	}
	channel, leave := channelFlag(cmd), leaveFlag(cmd)
	a.AddNode(true, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return rekeying(a, serve, cmd, leave, rekeyRequest{Channel: *channel})
	}
	return cmd
}

// ringOf reads the ring of a channel without a node.
func ringOf(a *console.App, channel string) (seal.Ring, signing.ID, error) {
	keys, dir, err := openKeys(a, channel)
	if err != nil {
		return seal.Ring{}, signing.ID{}, err
	}
	if !keys.Newest().Private() {
		return seal.Ring{}, keys.ID, publicChannel(channel)
	}
	ring, err := (&sealer{dir: dir, id: keys.ID}).ring()
	return ring, keys.ID, err
}

func publicChannel(name string) error {
	return &console.Fault{Code: console.Usage, Message: fmt.Sprintf("channel %q is public: everybody reads it", name),
		Hint: "a channel is made private at its first use, with --private"}
}

func readerList(a *console.App) *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Short: "List the readers of a private channel", Args: a.Args(0, 0, "")}
	channel := channelFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		ring, id, err := ringOf(a, *channel)
		if err != nil {
			return err
		}
		for _, m := range ring.Members {
			a.Out().Print(console.Reader{Channel: id.String(), Name: m.Name, Key: m.Recipient})
		}
		return nil
	}
	return cmd
}

func readerLink(a *console.App) *cobra.Command {
	cmd := &cobra.Command{Use: "link", Short: "Print the link of a private channel, with its read key", Args: a.Args(0, 0, "")}
	channel := channelFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		ring, id, err := ringOf(a, *channel)
		if err != nil {
			return err
		}
		a.Out().Print(console.ChannelLink{Channel: id.String(), Link: signing.Link{ID: id, Index: -1, ReadKey: ring.Current().Text()}.String()})
		return nil
	}
	return cmd
}

// Rekey sends a read key to the readers of a channel: the present one when somebody joins,
// else a new one. It is written down before it is sent, and seals nothing before that; a
// crash between the two is mended by the next Rekey, which sends the same key.
func (r *running) Rekey(ctx context.Context, req rekeyRequest) (out console.Rekeyed, err error) {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	id, err := findChannel(r.dir, req.Channel)
	if err != nil {
		return out, err
	}
	keys, err := keyfile.Open(keysDir(r.dir), id)
	if err != nil {
		return out, err
	}
	if !keys.Newest().Private() {
		return out, publicChannel(req.Channel)
	}
	p, err := r.publisher(ctx, id, console.Peering{}, false)
	if err != nil {
		return out, err
	}
	s := r.sealer(id)
	s.mu.Lock()
	ring, err := s.ring()
	if err == nil {
		err = req.change(&ring)
	}
	if err == nil {
		err = s.write(ring)
	}
	s.mu.Unlock()
	if err != nil {
		return out, err
	}
	out = console.Rekeyed{Channel: id.String(), New: ring.Pending, Readers: len(ring.Members), Index: -1}
	if len(ring.Members) > 0 {
		entry, err := seal.RekeyEntry(ring.Keys[len(ring.Keys)-1], ring.Members, r.app.Env.Now().UnixMilli(), manifest.Pointers{})
		if err != nil {
			return out, err
		}
		if out.Index, err = p.Publish(entry); err != nil {
			return out, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ring.Pending {
		ring.Pending = false
		if err := s.write(ring); err != nil {
			return out, err
		}
	}
	link := signing.Link{ID: id, Index: -1, ReadKey: ring.Current().Text()}
	for _, a := range r.node.Addrs()[:min(maxHints, len(r.node.Addrs()))] {
		link.Peers = append(link.Peers, a.String())
	}
	out.Link = link.String()
	return out, nil
}

// change makes the ring what it is to be.
func (req rekeyRequest) change(ring *seal.Ring) error {
	// Of a key that is pending it is not known whether a removal was to bring it, which a crash has left half done.
	if req.Remove != "" && !ring.Leave(req.Remove) && !ring.Pending {
		return &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("%q is no reader of the channel", req.Remove), Hint: "`seed reader ls` lists them"}
	}
	if req.Add != nil {
		ring.Join(*req.Add)
	}
	if req.Add != nil || ring.Pending {
		return nil
	}
	k, err := seal.NewKey(rand.Reader)
	if err != nil {
		return err
	}
	ring.Add(k)
	ring.Pending = true
	return nil
}
