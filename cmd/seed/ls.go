package main

import (
	"context"

	"github.com/spf13/cobra"

	"handful/swarm/console"
)

func lsCommand(a *console.App) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List what was published",
		Args:  a.Args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withItems(cmd.Context(), a, func(_ console.Status, items []console.Item) {
				for _, item := range items {
					a.Out().Print(item)
				}
			})
		},
	}
}

// withItems looks at a running node, or at its state while none runs.
func withItems(ctx context.Context, a *console.App, use func(console.Status, []console.Item)) error {
	return console.WithState(ctx, a, openOffline, func(ctx context.Context, l lister) error {
		status, items, err := l.Status(ctx)
		if err != nil {
			return err
		}
		use(status, items)
		return nil
	})
}
