package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"handful/signing"
	"handful/swarm/console"
)

// bundleRequest is a bundle to take in, or to make.
type bundleRequest struct {
	Path   string        // absolute
	Link   *signing.Link // of the channel that is expected; nil: one that is known here
	Dest   string        // absolute directory for files
	Force  bool
	DryRun bool // only say what is in it
}

func bundleCommand(a *console.App) *cobra.Command {
	var r bundleRequest
	var export string
	var stay console.Stay
	cmd := &cobra.Command{
		Use:   "bundle FILE [LINK]",
		Short: "Take in a channel's news and files from a file, or put them into one",
		Long: `Bundle reads a file that "seed export --bundle" has made, from a stick say, and takes
over what is verified: news of the channel, and files into the current directory or
the one that -o names. What is there already is not written again, so the same
command goes on after a stop. Afterwards this machine passes on what it took.

A channel that is not known here must be named by its link, which is what is trusted;
the file itself is believed nothing. Of a private channel the whole link, with what stands
behind #k=, opens what is in it; without, what is encrypted is kept and passed on ("-" reads
the link from standard input).

With --export FILE it is the other way round: what this machine has of the channel
that LINK names is put into FILE, for the next one.

Exit status: 0, 1, 2 (the channel is not known here, and no link was given), 3 (some
files could not be taken), 10, 11, 12 (the bundle is refused), 13 (it is cut off or
damaged: the entry is named), 14, 130 and 143.`,
		Example: "  fetch bundle /media/stick/news.bundle handful:agaagous… -o ~/Videos\n  fetch bundle --export /media/stick/news.bundle handful:agaagous…",
	}
	f := cmd.Flags()
	f.StringVarP(&r.Dest, "output", "o", ".", "directory to put files into")
	f.BoolVar(&r.Force, "force", false, "replace what is under a file's name")
	f.StringVar(&export, "export", "", "write a bundle to this file instead")
	stay.AddSeeding(f, a.Env)
	stay.For = 0
	f.Lookup("seed-for").Usage = "stay for so long afterwards and pass it on; 0 = leave at once"
	f.Lookup("seed-for").DefValue = "0"
	a.AddNode(false, cmd)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if export != "" {
			return a.Args(1, 1, "the link of the channel")(cmd, args)
		}
		return a.Args(1, 2, "the bundle's file")(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := r.complete(a, args, export); err != nil {
			return err
		}
		return console.WithNode(cmd.Context(), a, tree, opener(a), func(ctx context.Context, n node) error {
			if export != "" {
				line, err := n.MakeBundle(ctx, r, a.Out().Print)
				if line != nil {
					a.Out().Print(*line)
				}
				return err
			}
			return r.take(ctx, a, n, stay)
		})
	}
	return cmd
}

// complete checks what was given and fills the request.
func (r *bundleRequest) complete(a *console.App, args []string, export string) error {
	r.Dest, r.DryRun = a.Env.Path(r.Dest), a.Common.DryRun
	link := args[len(args)-1]
	if export == "" {
		r.Path = a.Env.Path(args[0])
		if len(args) == 1 {
			return nil
		}
	} else {
		r.Path = a.Env.Path(export)
	}
	word, err := readLink(a, link)
	if err != nil {
		return err
	}
	l, err := signing.ParseLink(word)
	if err != nil {
		return err
	}
	r.Link = &l
	return nil
}

// take takes a bundle in and stays with it for as long as is wanted.
func (r *bundleRequest) take(ctx context.Context, a *console.App, n node, stay console.Stay) error {
	took, err := n.TakeBundle(ctx, *r, a.Out().Print)
	if took.line != nil {
		a.Out().Print(*took.line)
	}
	if err != nil || len(took.infohashes) == 0 {
		return err
	}
	if a.Env.Held != nil && a.Env.Held.Verb == "serve" {
		a.Out().Print(console.Seeding{Node: true})
		return nil
	}
	if stay.For == 0 {
		return nil
	}
	a.Out().Print(console.Seeding{Until: a.Until(stay.For)})
	for _, infohash := range took.infohashes[:1] {
		err = errors.Join(err, n.Seed(ctx, infohash, stay, func(p console.Progress) { a.Out().Print(p) }))
	}
	return err
}

// strangeBundle is the error of a bundle whose channel nobody has vouched for.
func strangeBundle(path string, id signing.ID) error {
	return console.Usagef(fmt.Sprintf("get the channel's link from somebody you trust, and give it behind the file: it must begin with handful:%s", id),
		"%s is of a channel that is not known here, and a bundle does not vouch for itself", path)
}
