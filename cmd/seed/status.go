package main

import (
	"context"

	"github.com/spf13/cobra"

	"handful/swarm/console"
)

func statusCommand(a *console.App) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether a node runs, what it moves, and what its channels need",
		Long: `Status says whether a node runs and what it moves. Of each item that the node sends
it says how many pieces it has granted to leechers, and how often, since it started; how
many leechers are connected, were served in the last second, and were served ever; and
how many copies it has sent. With --json there is a line for each piece that was ever
granted, with the leechers that it was granted to.

Of each channel it says what it stands on: the version of the root document, how many keys
sign it and until when it confirms what is published, who else may write, which private
keys are on this machine, and what its owner should do next; and while a node serves it,
which of its writers are around and how many other members the node is connected with.

The same is told to programs on this machine by GET /status on the port of the node.

Exit status: 0, 1, 11, 130 and 143.`,
		Args: a.Args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return console.WithState(cmd.Context(), a, openOffline, func(ctx context.Context, l lister) error {
				status, items, err := l.Status(ctx)
				if err != nil {
					return err
				}
				a.Out().Print(status)
				if err := printChannels(a, l); err != nil {
					return err
				}
				for _, item := range items {
					a.Out().Print(item)
					if !a.Common.JSON {
						continue
					}
					for _, g := range l.Granted(item.Infohash) {
						if ctx.Err() != nil {
							return context.Cause(ctx)
						}
						a.Out().Print(g)
					}
				}
				return nil
			})
		},
	}
}
