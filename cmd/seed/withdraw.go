package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"handful/swarm/console"
)

func withdrawCommand(a *console.App) *cobra.Command {
	var channel, reason string
	cmd := &cobra.Command{
		Use:   "withdraw LINK|INDEX|INFOHASH|PATH",
		Short: "Stop offering what was published or posted, and ask others to drop it",
		Long: `Withdraw signs an entry that says that an earlier one is withdrawn, and stops
seeding it if it is content. A post is named by its link or index. Nodes that follow the channel are asked to drop it; nobody can be made
to. The files stay where they are.

Exit status: 0, 1, 10 (nothing like that was published), 11, 130 and 143.`,
		Args: a.Args(1, 1, "the link, index, infohash or path of what to withdraw"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return publishedIndexes(cmd.Context(), a), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().StringVarP(&channel, "channel", "c", defaultChannel, "channel of the index")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for everyone to read")
	a.AddNode(true, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkChannelName(channel); err != nil {
			return err
		}
		if a.Common.DryRun {
			return withItems(cmd.Context(), a, func(_ console.Status, items []console.Item) {
				for _, item := range items {
					if matches(item, args[0], a.Env.Path(args[0])) {
						a.Out().Print(console.Plan{Action: "withdraw", Name: item.Name, Bytes: item.Bytes, Files: item.Files, Infohash: item.Infohash})
					}
				}
			})
		}
		return console.WithNode(cmd.Context(), a, tree, opener(a), func(ctx context.Context, n node) error {
			withdrawn, err := n.Withdraw(ctx, channel, args[0], reason)
			if err != nil {
				return err
			}
			a.Out().Print(withdrawn)
			return nil
		})
	}
	return cmd
}

// matches tells whether a word that names something published means the item.
// path is the word as an absolute path.
func matches(item console.Item, word, path string) bool {
	return word == item.Link || word == strconv.FormatInt(item.Index, 10) && item.Channel != "" || word == item.Infohash || path == item.Path
}

// publishedIndexes are completions: what was published, newest first.
func publishedIndexes(ctx context.Context, a *console.App) []string {
	items, err := completeItems(ctx, a)
	if err != nil {
		return nil
	}
	var words []string
	for i := len(items) - 1; i >= 0; i-- {
		word := items[i].Infohash
		if items[i].Channel != "" {
			word = strconv.FormatInt(items[i].Index, 10)
		}
		words = append(words, word+"\t"+console.Clean(items[i].Name))
	}
	return words
}
