package main

import (
	"github.com/spf13/cobra"

	"handful/swarm/console"
)

// tree builds the commands of fetch for an environment. A first argument that is
// no command is a link to fetch.
func tree(env *console.Env) *console.App {
	root := &cobra.Command{
		Use:   "fetch LINK...",
		Short: "Fetch what a link names, and verify it",
		Long: `Fetch gets what a link names into the current directory, or the one that -o names:
from the nearest peers first, every piece verified, resumed where it stopped, and
put under its final name only when all of it is right. Then it passes it on to
others: for 10 minutes on a terminal, not at all in a script; --seed-for chooses.

Several links, or a file of them (-i), are fetched some at a time (-j), each into
its own name; what is done is passed on while others are fetched. One that fails
does not stop the others.

What a link may be is in "fetch help links".

Exit status: 0, 1, 2 (a bad link), 3 (some of several links failed), 10 (no peers before --timeout), 11, 12, 13, 14,
130 and 143; see "fetch help exit-codes".`,
		Example: "  fetch handful:agaagous…/m/3 -o ~/Videos\n  fetch debian.torrent\n  pass show link | fetch -\n  fetch -i links.txt -j 4 -o /srv/mirror",
	}
	a := console.NewApp(env, root)
	serve := serveCommand(a)
	setFetch(a, root)
	root.AddCommand(followCommand(a), unfollowCommand(a), lanCommand(a), statusCommand(a), explainCommand(a), serve, trustCommand(a), verifyCommand(a))
	return a
}
