package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"handful/manifest"
	"handful/swarm/console"
	"handful/swarm/store"
)

func verifyCommand(a *console.App) *cobra.Command {
	var torrent, proof string
	cmd := &cobra.Command{
		Use:   "verify [PATH]",
		Short: "Check that what was fetched is still what was published",
		Long: `Verify reads everything at PATH and compares it with what was fetched there, or with
the torrent file that --torrent names. Files that differ are named; none is changed.
Files that were never part of it are not looked at.

With --proof it checks a file that "fetch trust proof" or "fetch trust evidence" has
written, without a network: that a writer published an entry, or that it signed two
histories. With a PATH as well, that what is there is what the entry names.

Exit status: 0, 10 (no such path, or nothing was fetched there), 11, 12 (the proof does
not hold), 13 (something differs), 14 (a file cannot be read), 130 and 143.`,
		Args: func(cmd *cobra.Command, args []string) error {
			least := 1
			if proof != "" {
				least = 0
			}
			return a.Args(least, 1, "the path to verify")(cmd, args)
		},
	}
	cmd.Flags().StringVar(&proof, "proof", "", "check this proof of an entry, or evidence of a fork")
	cmd.Flags().StringVar(&torrent, "torrent", "", "compare with this torrent file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var proven manifest.Entry
		if proof != "" {
			var err error
			if proven, err = readProof(a, a.Env.Path(proof)); err != nil || len(args) == 0 {
				return err
			}
		}
		ctx, path := cmd.Context(), a.Env.Path(args[0])
		if _, err := os.Lstat(path); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		check := func(t *manifest.Torrent) error {
			if proof != "" {
				if err := provenBy(t, proven); err != nil {
					return err
				}
			}
			return verify(ctx, a, t, path)
		}
		if torrent != "" {
			b, err := readTorrent(a.Env.Path(torrent))
			if err != nil {
				return fmt.Errorf("read the torrent file: %w", err)
			}
			target, err := parseTorrent(torrent, b)
			if err != nil {
				return err
			}
			return check(target.Torrent)
		}
		return console.WithState(ctx, a, openOffline, func(ctx context.Context, s state) error {
			t, err := s.Torrent(ctx, path)
			if errors.Is(err, store.ErrNotFound) {
				return &console.Fault{Code: console.NotFound, Message: "nothing was fetched to " + path, Hint: "name the torrent file with --torrent, or see `fetch status`"}
			}
			if err != nil {
				return err
			}
			return check(t)
		})
	}
	return cmd
}

// maxNamed is how many files that differ are named.
const maxNamed = 100

// verify compares path with a torrent and says what differs.
func verify(ctx context.Context, a *console.App, t *manifest.Torrent, path string) error {
	c := checker{torrent: t, root: path, bad: map[string]bool{}, report: func(done int64) {
		a.Out().Print(console.Progress{Stage: "check", Done: done, Total: t.Length(), Name: t.Name})
	}}
	if err := c.run(ctx); err != nil {
		return err
	}
	bad := c.names()
	a.Out().Print(console.Verified{Path: path, Bytes: t.Length(), Files: countFiles(t), Verified: len(bad) == 0,
		Bad: bad[:min(len(bad), maxNamed)], BadFiles: len(bad)})
	if len(bad) > 0 {
		return &console.Fault{Code: console.Unverified, Message: fmt.Sprintf("%s differs from what was published in %d of its files", path, len(bad)),
			Hint: "fetch it again with --force: what is right is kept"}
	}
	if c.sha1Only {
		a.Out().Print(console.Warning{Message: "this torrent has SHA-1 only, which no longer proves what it once did"})
	}
	return nil
}
