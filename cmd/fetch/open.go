package main

import (
	"context"

	"handful/swarm/console"
)

// openNode starts a node that holds the state directory, with the options of
// a.Node and the log a.Log.
func openNode(context.Context, *console.App, string) (node, error) {
	return nil, &console.Fault{Code: console.Failed, Message: "this build has no node"}
}
