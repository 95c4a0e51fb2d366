package main

import (
	"context"

	"github.com/spf13/cobra"

	"handful/swarm/console"
)

// setFetch makes cmd fetch what its argument names.
func setFetch(a *console.App, cmd *cobra.Command) {
	var r fetchRequest
	var stay console.Stay
	f := cmd.Flags()
	f.StringVarP(&r.Dest, "output", "o", ".", "directory to put it into")
	f.BoolVar(&r.Force, "force", false, "replace what is under that name")
	r.AddFlags(f)
	a.AddNode(false, cmd)
	stay.AddTimeout(f, a.Env)
	stay.AddSeeding(f, a.Env)
	cmd.Args = a.Args(1, 1, "a link")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"torrent"}, cobra.ShellCompDirectiveFilterFileExt
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		link, err := readLink(a, args[0])
		if err != nil {
			return err
		}
		if args[0] == "-" {
			// What was on stdin is read: whoever runs the command again needs it.
			a.Replace("-", link)
		}
		if r.target, err = parseTarget(ctx, a, link, a.Node.LANOnly); err != nil {
			return err
		}
		r.Dest, r.DryRun, r.Timeout = a.Env.Path(r.Dest), a.Common.DryRun, stay.Timeout
		return console.WithNode(ctx, a, tree, opener(a), func(ctx context.Context, n node) error {
			return r.run(ctx, a, n, stay)
		})
	}
}

// run fetches with a node, and seeds as long as it should.
func (r *fetchRequest) run(ctx context.Context, a *console.App, n node, stay console.Stay) error {
	out := a.Out()
	out.Print(n.Listening())
	got, err := n.Fetch(ctx, *r, func(p console.Progress) { out.Print(p) })
	if err != nil {
		return err
	}
	switch {
	case got.Plan != nil:
		out.Print(*got.Plan)
		return nil
	case got.Entry != nil:
		out.Print(*got.Entry)
		return nil
	}
	out.Print(*got.Done)
	if a.Env.Held != nil && a.Env.Held.Verb == "serve" {
		out.Print(console.Seeding{Node: true})
		return nil
	}
	if stay.For == 0 {
		return nil
	}
	out.Print(console.Seeding{Until: a.Until(stay.For), Ratio: stay.Ratio})
	return n.Seed(ctx, got.Infohash, stay, func(p console.Progress) { out.Print(p) })
}
