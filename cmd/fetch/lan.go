package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"handful/swarm/console"
)

// lanPatience is how long fetch lan listens when nobody says: publishers repeat
// their offers more often than that.
const lanPatience = 10 * time.Second

var errHeard = errors.New("listened long enough")

func lanCommand(a *console.App) *cobra.Command {
	var stay console.Stay
	cmd := &cobra.Command{
		Use:   "lan",
		Short: "List what is on offer on the local network",
		Long: `Lan listens for offers on the local network and prints each once. Whoever offers
something is not trusted for that: what a link names is verified when it is fetched.

Exit status: 0, 10 (nothing was on offer before --timeout), 11, 130 and 143.`,
		Args: a.Args(0, 0, ""),
	}
	a.AddNode(false, cmd)
	stay.AddTimeout(cmd.Flags(), a.Env)
	stay.Timeout = lanPatience
	cmd.Flags().Lookup("timeout").Usage = "listen for so long; 0 = until stopped (default 10s)"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return console.WithNode(cmd.Context(), a, tree, opener(a), func(ctx context.Context, n node) error {
			if stay.Timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, stay.Timeout, errHeard)
				defer cancel()
			}
			heard := 0
			err := n.Offers(ctx, func(o console.Offer) {
				heard++
				a.Out().Print(o)
			})
			if context.Cause(ctx) != errHeard {
				return errors.Join(err, context.Cause(ctx))
			}
			if heard == 0 {
				return &console.Fault{Code: console.NotFound, Message: "nothing is on offer on the local network",
					Hint: "publishers must be on the same network segment; some Wi-Fi keeps its clients apart"}
			}
			return nil
		})
	}
	return cmd
}
