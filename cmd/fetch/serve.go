package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"handful/swarm/console"
)

func serveCommand(a *console.App) *cobra.Command {
	var p console.Peering
	var face faceRequest
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Keep seeding everything that was fetched, and show what channels say",
		Long: `Serve seeds everything that was fetched with this state directory and goes on with
what is not complete, until it is stopped. Other commands of fetch hand their work
to it. Beside a node that already runs it waits, and takes over when that one stops.

It follows all channels that were followed, and shows them to feed readers, on this
machine only unless --http names another address:

    http://127.0.0.1:6880/feeds.opml              all of them
    http://127.0.0.1:6880/feed/NAME.atom          one, also as NAME.rss and NAME.json
    http://127.0.0.1:6880/feed/NAME/events        each entry as it is said (server-sent events)

Requests must name an address, localhost or a name of --http-name as their host: so no
page in a browser can read what is here.

Exit status: 1, 11, 14, 130 and 143.`,
		Args: a.Args(0, 0, ""),
	}
	a.AddNode(false, cmd)
	p.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&face.Addr, "http", "", "HOST:PORT to answer feed readers on, or off (default 127.0.0.1:6880, else a free port)")
	cmd.Flags().StringSliceVar(&face.Names, "http-name", nil, "a host name that feed readers may ask for, beside addresses and localhost")
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
			url, stop, err := n.Show(ctx, face)
			if err != nil {
				return err
			}
			if url != "" {
				out.Print(console.Feeds{URL: url})
			}
			return errors.Join(n.Serve(ctx, out.Print), stop())
		})
	}
	return cmd
}
