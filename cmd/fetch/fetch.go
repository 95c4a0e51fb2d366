package main

import (
	"context"

	"github.com/spf13/cobra"

	"handful/swarm/console"
)

// setFetch makes cmd fetch what its arguments name.
func setFetch(a *console.App, cmd *cobra.Command) {
	var r fetchRequest
	var stay console.Stay
	jobs := defaultJobs
	var input string
	f := cmd.Flags()
	f.StringVarP(&r.Dest, "output", "o", ".", "directory to put it into")
	f.BoolVar(&r.Force, "force", false, "replace what is under that name")
	f.BoolVar(&r.Blind, "blind", false, "keep the ciphertext of a private channel and pass it on, without a key")
	f.StringVarP(&input, "input", "i", "", "file of more links, one a line; - = stdin")
	f.VarP(console.Range(&jobs, 1, maxJobs), "jobs", "j", "how many links are fetched at a time")
	r.AddFlags(f)
	a.AddNode(false, cmd)
	stay.AddTimeout(f, a.Env)
	stay.AddSeeding(f, a.Env)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if input != "" {
			return nil
		}
		return a.Args(1, -1, "a link")(cmd, args)
	}
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"torrent"}, cobra.ShellCompDirectiveFilterFileExt
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		links, err := readLinks(a, args, input)
		if err != nil {
			return err
		}
		r.Dest, r.DryRun, r.Timeout = a.Env.Path(r.Dest), a.Common.DryRun, stay.Timeout
		all := make([]fetchRequest, len(links))
		for i, link := range links {
			all[i] = r
			if all[i].target, err = parseTarget(ctx, a, link, a.Node.LANOnly); err != nil {
				return err
			}
		}
		return console.WithNode(ctx, a, tree, opener(a), func(ctx context.Context, n node) error {
			if len(all) == 1 {
				return all[0].run(ctx, a, n, stay)
			}
			return fetchMany(ctx, a, n, links, all, jobs, stay)
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
	out.Print(got.line())
	if got.Done == nil {
		return nil
	}
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
