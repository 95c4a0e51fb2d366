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

// runTry publishes path from a node of its own and fetches it with peers others,
// all on loopback, each with a state directory below dir and host sharing off. It
// reports progress, and a TryPeer for every peer that has verified everything, and
// returns when all have, with Bytes, Origin and Seconds set.
func runTry(context.Context, *console.App, string, string, int, console.Stay, func(console.Line)) (console.TryTotal, error) {
	return console.TryTotal{}, &console.Fault{Code: console.Failed, Message: "this build has no node"}
}
