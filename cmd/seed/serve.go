package main

import (
	"context"

	"github.com/spf13/cobra"

	"handful/swarm/console"
)

func serveCommand(a *console.App) *cobra.Command {
	var p console.Peering
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Keep seeding everything that was published",
		Long: `Serve seeds everything that was published from this state directory, with a
tracker for it, until it is stopped. Other commands of seed hand their work to it.
Beside a node that already runs it waits, and takes over when that one stops.

Exit status: 1, 11, 14, 130 and 143.`,
		Args: a.Args(0, 0, ""),
	}
	a.AddNode(true, cmd)
	p.AddFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return console.WithNode(cmd.Context(), a, tree, opener(a), func(ctx context.Context, n node) error {
			out := a.Out()
			out.Print(n.Listening())
			_, items, err := n.Status(ctx)
			if err != nil {
				return err
			}
			for _, item := range items {
				out.Print(item)
			}
			return n.Serve(ctx, p, out.Print)
		})
	}
	return cmd
}
