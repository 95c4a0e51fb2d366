package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"handful/swarm/console"
)

const (
	defaultTryPeers = 8
	defaultTrySize  = 64 << 20 // bytes
	maxTryCopies    = 2        // what the origin may send at most, in copies of the content
)

func tryCommand(a *console.App) *cobra.Command {
	peers, size := defaultTryPeers, console.Size(defaultTrySize)
	cmd := &cobra.Command{
		Use:   "try [PATH]",
		Short: "Publish to some peers of its own on this machine, and show who sent what",
		Long: `Try publishes PATH, or 64 MiB that it makes, from a node of its own, and fetches it
with 8 others on this machine. Each has its own state and takes every byte over a
connection. When all have verified everything, it prints where the bytes came from,
and leaves nothing behind.

Exit status: 0, 1 (the bytes do not add up, or the origin sent more than 2 copies),
10 (no such path, or no progress before --timeout), 13, 14, 130 and 143.`,
		Args: a.Args(0, 1, ""),
	}
	var stay console.Stay
	cmd.Flags().Var(console.Range(&peers, 1, 64), "peers", "how many peers fetch")
	cmd.Flags().Var(&size, "size", "bytes to make when no PATH is given")
	stay.AddTimeout(cmd.Flags(), a.Env)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			if _, err := os.Stat(a.Env.Path(args[0])); err != nil {
				return missing(cmd, args[0], err)
			}
		} else if size < 1 {
			return console.Usagef("", "--size: at least one byte is needed")
		}
		if a.Common.DryRun {
			a.Out().Print(console.Plan{Action: "try", Name: fmt.Sprintf("%d peers", peers), Bytes: int64(size), Files: 1})
			return nil
		}
		return try(cmd.Context(), a, args, peers, int64(size), stay)
	}
	return cmd
}

// try runs the swarm in a directory that is removed at the end.
func try(ctx context.Context, a *console.App, args []string, peers int, size int64, stay console.Stay) (err error) {
	dir, err := os.MkdirTemp("", "handful-try-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "sample")
	if len(args) == 1 {
		path = a.Env.Path(args[0])
	} else if err := makeSample(ctx, path, size); err != nil {
		return err
	}
	var rows []console.TryPeer
	total, err := runTry(ctx, a, dir, path, peers, stay, func(l console.Line) {
		if row, ok := l.(console.TryPeer); ok {
			if len(rows) == 0 && !a.Common.JSON {
				fmt.Fprintln(a.Env.Stdout, console.TryHeader())
			}
			rows = append(rows, row)
		}
		a.Out().Print(l)
	})
	if err != nil {
		return err
	}
	total.Peers, total.AddsUp = len(rows), true
	for _, row := range rows {
		total.AddsUp = total.AddsUp && row.AddsUp() && row.Verified && row.Bytes == total.Bytes
	}
	if total.Bytes > 0 {
		total.Copies = float64(total.Origin) / float64(total.Bytes)
	}
	a.Out().Print(total)
	switch {
	case len(rows) != peers:
		return &console.Fault{Code: console.Partly, Message: fmt.Sprintf("%d of %d peers have everything", len(rows), peers)}
	case !total.AddsUp:
		return &console.Fault{Code: console.Failed, Message: "the table does not add up: received is not bytes plus wasted for every peer"}
	case total.Copies > maxTryCopies:
		return &console.Fault{Code: console.Failed, Message: fmt.Sprintf("the origin sent %.2f copies, more than %d", total.Copies, maxTryCopies)}
	}
	return nil
}

// makeSample writes bytes that do not compress, the same every time.
func makeSample(ctx context.Context, path string, size int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := io.CopyN(w, stoppable{ctx, rand.NewChaCha8([32]byte{})}, size); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return w.Flush()
}

// stoppable is a reader that ends with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(b []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(b)
}
