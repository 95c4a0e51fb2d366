package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/console"
	"handful/swarm/publish"
)

// repairRequest says which channel is to go on, and with what.
type repairRequest struct {
	channel, out string
	keep         string // SIZE[:HASH]; empty: all that the log here has
	with         console.Peering
}

func repairCommand(a *console.App) *cobra.Command {
	var r repairRequest
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Let a channel go on that signed two histories, or whose log is lost",
		Long: `Repair looks at what the network holds of your channel. Where the log here is only behind,
because it comes from an old backup, it catches up. Where both have entries that the other
has not, which happens when a backup is used beside the original, or two machines publish
with the same keys, the log here stays as it is: a new root document names it as the base,
followers mark the other entries as withdrawn, and publishing goes on. The document needs
the root key; if that is not here, the bytes to sign are written to N.root.payload.

--keep N goes back to the first N entries; --keep 0 begins anew, when the log is lost and
nobody has a copy. Entries that are taken back are kept in the log's directory.

Exit status: 0, 1, 2, 10 (no such channel), 11, 14.`,
		Args: a.Args(0, 0, ""),
	}
	f := cmd.Flags()
	f.StringVarP(&r.channel, "channel", "c", defaultChannel, "channel: its name, or its id")
	f.StringVar(&r.keep, "keep", "", "N or N:HASH: only the first N entries stay")
	f.StringVarP(&r.out, "output", "o", ".", "directory for the bytes to sign")
	r.with.AddFlags(f)
	a.AddNode(true, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return console.WithNode(cmd.Context(), a, tree, opener(a), func(ctx context.Context, n node) error { return n.Repair(ctx, a, r) })
	}
	return cmd
}

// Repair lets a channel go on.
func (r *running) Repair(ctx context.Context, a *console.App, req repairRequest) error {
	defer r.Exclusive()()
	b, err := openBook(r.dir, req.channel)
	if err != nil {
		return err
	}
	if err := b.needKeys(); err != nil {
		return err
	}
	if req.keep == "" {
		p, err := r.publisher(ctx, b.id, req.with, false)
		if err == nil {
			err = p.Failed()
		}
		if err == nil {
			a.Out().Print(console.Repaired{Channel: b.id.String(), Writer: signing.MainWriter, Entries: p.Log().Size(), Unasked: !p.Answered()})
			return nil
		}
		if !errors.Is(err, signing.ErrFork) {
			return hopeless(err)
		}
		a.Out().Print(console.Note{Message: err.Error()})
		log, err := publish.Peek(logDir(r.dir, b.id, signing.MainWriter))
		if err != nil {
			return err
		}
		req.keep = fmt.Sprint(log.Entries)
	}
	base, err := b.base(signing.MainWriter, req.keep)
	if err != nil {
		return err
	}
	version, _ := b.versions()
	err = finishEdit(ctx, a, r, b, req.out, func(b *book) error {
		if err := b.editRoot(a, signing.RootEdit{Base: map[string]signing.Base{signing.MainWriter: base}}); err != nil {
			return err
		}
		if b.next.root == nil && !a.Common.DryRun {
			a.Out().Print(console.Repaired{Channel: b.id.String(), Writer: signing.MainWriter, Entries: base.Size, Version: b.keys.Newest().Version()})
		}
		return nil
	})
	if now, _ := b.versions(); err != nil || now == version {
		return err
	}
	p, err := r.publisher(ctx, b.id, req.with, false)
	if err != nil {
		return err
	}
	return p.Confirm()
}

// hopeless adds what is left to do where nothing can be decided here.
func hopeless(err error) error {
	if errors.Is(err, publish.ErrUnheard) || errors.Is(err, publish.ErrUnconfirmed) || errors.Is(err, publish.ErrBehind) {
		return &console.Fault{Code: console.NotFound, Message: "repair", Err: err,
			Hint: "run it while somebody who has the channel is reachable (--peer); or give --keep N: the first N entries of the log here stay, 0 for none, and all else that was published is withdrawn"}
	}
	if errors.Is(err, keyfile.ErrNotFound) {
		return err
	}
	return &console.Fault{Code: console.Failed, Message: "repair", Err: err}
}
