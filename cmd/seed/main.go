// Seed publishes files and directories and keeps them available: it hashes them
// once, signs what was published, prints one link, and sends the bytes to a
// handful of peers, who carry them on to everyone.
//
// Run `seed help` for its commands. Package console has what both binaries share:
// output, exit codes, options, and how a command is handed to the node that
// already runs.
package main

import (
	"os"

	"handful/swarm/console"
)

func main() { os.Exit(console.Main("seed", tree)) }
