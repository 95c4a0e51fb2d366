package main

import (
	"github.com/spf13/cobra"

	"handful/swarm/console"
)

func statusCommand(a *console.App) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether a node runs, and what it moves",
		Args:  a.Args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withItems(cmd.Context(), a, func(status console.Status, items []console.Item) {
				a.Out().Print(status)
				for _, item := range items {
					a.Out().Print(item)
				}
			})
		},
	}
}
