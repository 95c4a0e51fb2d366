// Fetch gets what a link names: from the nearest peers that have it, verified to
// the last byte, resumed where it stopped, and passed on to others afterwards.
//
// Run `fetch help` for its commands. Package console has what both binaries share:
// output, exit codes, options, and how a command is handed to the node that
// already runs.
package main

import (
	"os"

	"handful/swarm/console"
)

func main() { os.Exit(console.Main("fetch", tree)) }
