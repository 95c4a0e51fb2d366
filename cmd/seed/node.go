package main

import (
	"context"
	"io"
	"time"

	"handful/signing"
	"handful/swarm/channel"
	"handful/swarm/console"
)

// lister is what the commands need that only look: a running node, or its state
// while none runs (offline.go).
type lister interface {
	io.Closer
	// Status is the node as a whole, and its items in the order of publishing.
	Status(ctx context.Context) (console.Status, []console.Item, error)
	// Granted is to whom the pieces of an item were granted since the node started;
	// nothing while none runs.
	Granted(infohash string) []console.Granted
	// Around is who is in the swarm of a channel; ok is false while no node serves it.
	Around(id signing.ID) (who channel.Around, ok bool)
	// Exclusive waits until no other command edits the documents of channels, and keeps them
	// waiting until done is called.
	Exclusive() (done func())
	// Reload goes over to the newer documents of a channel. It reports whether followers
	// are told of them: not while no node runs.
	Reload(ctx context.Context, id signing.ID) (told bool, err error)
	// Export puts a channel where no node runs. The line is nil when nothing was written.
	Export(ctx context.Context, r exportRequest, report func(console.Line)) (console.Line, error)
	// Feeds are the sources that were imported.
	Feeds() ([]source, error)
}

// node is what the commands need of a running node. All methods may be called by
// several commands at the same time; a context that ends makes them return its
// cause with state kept.
type node interface {
	lister
	// Listening is the address that the node really has.
	Listening() console.Listening
	// Publish hashes, signs and announces. It returns as soon as a peer could
	// fetch. What was published before in the same way is not published twice.
	Publish(ctx context.Context, r publishRequest, report func(console.Progress)) (console.Published, error)
	// Post seeds what is attached to a text, signs it and pushes it to followers.
	Post(ctx context.Context, r postRequest, report func(console.Progress)) (console.Posted, error)
	// Rekey sends a read key to the readers of a private channel.
	Rekey(ctx context.Context, r rekeyRequest) (console.Rekeyed, error)
	// Import fetches a feed and posts what is new in it. It returns when the source
	// may be asked again at the earliest; zero: at any time.
	Import(ctx context.Context, r importRequest, report func(console.Line)) (time.Time, error)
	// Seed waits while the torrent is seeded: until stay.For has passed or
	// stay.Ratio is reached, where they are set, or its source changed, which is
	// an error.
	Seed(ctx context.Context, infohash string, stay console.Stay, report func(console.Progress)) error
	// Serve seeds everything that was published and reports what it moves, until
	// the context ends. A source that changed is a warning.
	Serve(ctx context.Context, with console.Peering, report func(console.Line)) error
	// Repair lets a channel go on that signed two histories, or lost its log: with the root
	// key it makes what is to stay the base. stay is how many entries of the log here; -1: all
	// that are signed.
	Repair(ctx context.Context, a *console.App, r repairRequest) error
	// Withdraw ends the offer of one item and asks others to drop it. which is a
	// link, an index in the channel, an infohash or a path.
	Withdraw(ctx context.Context, channel, which, reason string) (console.Withdrawn, error)
}

// opener returns what makes the node of this process.
func opener(a *console.App) func(ctx context.Context, stateDir string) (node, error) {
	return func(ctx context.Context, stateDir string) (node, error) { return openNode(ctx, a, stateDir) }
}
