package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"handful/manifest"
	"handful/swarm/console"
)

// publishRequest is what is to be published and how.
type publishRequest struct {
	Paths       []string // absolute; they exist
	Channel     string   // the name that -c gives
	Title       string
	Name        string // of the torrent; "": that of the path
	Format      manifest.Format
	PieceLength int64 // bytes; 0: chosen by the size
	Private     bool  // the channel is, or is made so
	console.Peering
}

// setPublish makes cmd publish: seed itself and seed publish.
func setPublish(a *console.App, cmd, serve *cobra.Command) {
	var r publishRequest
	var stay console.Stay
	var format string
	var pieceLength console.Size
	var leave bool
	if cmd.Long == "" {
		cmd.Long = `Publish hashes the paths, signs an entry of the channel, prints its link as soon as
a peer could fetch, and seeds until it is stopped. Several paths become one torrent.
If a node already runs for this state directory, it does the work.

Exit status: 0, 1 (a file changed while it was hashed or seeded), 10 (no such
path), 11, 14 (a path cannot be read), 130 and 143.`
	}
	f := cmd.Flags()
	f.StringVarP(&r.Channel, "channel", "c", defaultChannel, "channel to publish in; it is made at its first use")
	f.BoolVar(&r.Private, "private", false, privateUsage)
	f.StringVar(&r.Title, "title", "", "what to call it")
	f.StringVar(&format, "format", "auto", "auto, hybrid, v2 or v1")
	f.Var(&pieceLength, "piece-length", "bytes in a piece, a power of two from 16K; 0 chooses by the size")
	f.BoolVar(&leave, "no-wait", false, "leave the seeding to a running seed serve, or to the next one")
	r.AddFlags(f)
	a.AddNode(true, cmd)
	stay.AddSeeding(f, a.Env)
	stay.For = 0
	f.Lookup("seed-for").Usage = "stop seeding after so long; 0 = never"
	cmd.Args = a.Args(1, -1, "a path to publish")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := r.complete(a, cmd, args, format, pieceLength); err != nil {
			return err
		}
		if a.Common.DryRun {
			return r.plan(cmd.Context(), a)
		}
		return console.WithNode(cmd.Context(), a, tree, opener(a), func(ctx context.Context, n node) error {
			return r.run(ctx, a, serve, n, stay, leave)
		})
	}
}

// complete checks what was given and fills the request.
func (r *publishRequest) complete(a *console.App, cmd *cobra.Command, args []string, format string, pieceLength console.Size) error {
	formats := map[string]manifest.Format{"auto": manifest.FormatAuto, "hybrid": manifest.FormatHybrid, "v2": manifest.FormatV2, "v1": manifest.FormatV1}
	var ok bool
	if r.Format, ok = formats[format]; !ok {
		return console.Usagef("auto, hybrid, v2 and v1 are", "--format: %q is no format", format)
	}
	if n := int64(pieceLength); n != 0 && (n < manifest.BlockSize || n > 64<<20 || n&(n-1) != 0) {
		return console.Usagef("", "--piece-length: %d is no power of two from 16K to 64M", n)
	}
	r.PieceLength = int64(pieceLength)
	if err := checkChannelName(r.Channel); err != nil {
		return err
	}
	r.Paths = nil
	for _, arg := range args {
		path := a.Env.Path(arg)
		if _, err := os.Stat(path); err != nil {
			return missing(cmd, arg, err)
		}
		r.Paths = append(r.Paths, path)
	}
	return nil
}

// missing explains a path that is not there; the word may have been meant as a
// command.
func missing(cmd *cobra.Command, arg string, err error) error {
	hint := "check the path"
	if near := cmd.Root().SuggestionsFor(arg); errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(arg, `./\`) && len(arg) > 3 && len(near) > 0 {
		hint = fmt.Sprintf("did you mean `%s %s`?", cmd.Root().Name(), near[0])
	}
	return &console.Fault{Code: console.Code(err), Message: "publish", Hint: hint, Err: err}
}

// plan says what would be published. It reads and hashes everything.
func (r *publishRequest) plan(ctx context.Context, a *console.App) error {
	t, _, err := manifest.Build(ctx, r.Paths, manifest.BuildOptions{Format: r.Format, PieceLength: r.PieceLength, Progress: hashProgress(a)})
	if err != nil {
		return err
	}
	a.Out().Print(console.PlanOf("publish", t))
	return nil
}

// hashProgress shows how far hashing is.
func hashProgress(a *console.App) func(done, total int64) {
	return func(done, total int64) {
		a.Out().Print(console.Progress{Stage: "hash", Done: done, Total: total})
	}
}

func countFiles(t *manifest.Torrent) (n int) {
	for _, f := range t.Files {
		if !f.Pad {
			n++
		}
	}
	return n
}

// run publishes with a node and stays as long as it should.
func (r *publishRequest) run(ctx context.Context, a *console.App, serve *cobra.Command, n node, stay console.Stay, leave bool) error {
	out := a.Out()
	out.Print(n.Listening())
	published, err := n.Publish(ctx, *r, func(p console.Progress) { out.Print(p) })
	if err != nil {
		return err
	}
	out.Print(published)
	// From here on the work to take over is to seed, not to publish again.
	a.Rerun(serve)
	if leave {
		if a.Env.Held == nil {
			out.Print(console.Note{Message: "nothing seeds it now: run `seed serve`"})
		} else {
			out.Print(console.Seeding{Node: true})
		}
		return nil
	}
	seeding := console.Seeding{Ratio: stay.Ratio}
	if stay.For > 0 {
		seeding.Until = a.Until(stay.For)
	}
	out.Print(seeding)
	return n.Seed(ctx, published.Infohash, stay, func(p console.Progress) { out.Print(p) })
}
