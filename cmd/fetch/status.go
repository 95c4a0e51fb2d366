package main

import (
	"context"

	"github.com/spf13/cobra"

	"handful/swarm/console"
)

func statusCommand(a *console.App) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether a node runs, what it has and what it moves",
		Long: `Status says whether a node runs, what it has and what it moves, and how many bytes of
each item came from which tier since the node started. "fetch explain" has that for each
piece. Of each channel that is followed it says which of its writers are around, and
how many other members the node is connected with. The same, but for that, is told to programs on this machine by GET /status on the port of the
node.

Exit status: 0, 1, 11, 130 and 143.`,
		Args: a.Args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return console.WithState(cmd.Context(), a, openOffline, func(ctx context.Context, s state) error {
				status, items, err := s.Status(ctx)
				if err != nil {
					return err
				}
				a.Out().Print(status)
				for _, who := range s.Around() {
					a.Out().Print(who)
				}
				for _, item := range items {
					a.Out().Print(item)
				}
				return nil
			})
		},
	}
}
