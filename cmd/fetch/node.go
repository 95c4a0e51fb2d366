package main

import (
	"context"
	"io"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/console"
)

// state is what the commands need that only look: a running node, or its state
// while none runs (offline.go).
type state interface {
	io.Closer
	// Status is the node as a whole, and its items in the order of fetching.
	Status(ctx context.Context) (console.Status, []console.Item, error)
	// Torrent is what was fetched to an absolute path; store.ErrNotFound when
	// nothing was.
	Torrent(ctx context.Context, path string) (*manifest.Torrent, error)
	// Around is who is in the swarms of the channels that are followed; nothing while no node
	// runs.
	Around() []console.Around
	// Unfollow ends the following of a channel, which a link, an id or a name names.
	Unfollow(ctx context.Context, word string) (console.Followed, error)
	// Explain tells how each piece came of something that the running node has. A
	// fault with code NotFound when there is no such thing, or no node.
	Explain(ctx context.Context, w wanted) (console.Explained, []console.Piece, error)
	// Known is what is believed of a channel; a fault with code NotFound when
	// nothing is.
	Known(ctx context.Context, id signing.ID) (known, error)
}

// node is what the commands need of a running node. All methods may be called by
// several commands at the same time; a context that ends makes them return its
// cause with state kept.
type node interface {
	state
	// Listening is the address that the node really has.
	Listening() console.Listening
	// Fetch returns when everything is verified and under its final name.
	Fetch(ctx context.Context, r fetchRequest, report func(console.Progress)) (fetched, error)
	// Seed waits while the torrent is seeded: until stay.For has passed or
	// stay.Ratio is reached, where that is set.
	Seed(ctx context.Context, infohash string, stay console.Stay, report func(console.Progress)) error
	// Ask asks peers for what is newest in the channel that a request names.
	Ask(ctx context.Context, r fetchRequest) error
	// Prove makes the proof of the entry that a request names.
	Prove(ctx context.Context, r fetchRequest) (signing.Proof, error)
	// TakeBundle takes over what a bundle has and seeds it.
	TakeBundle(ctx context.Context, r bundleRequest, report func(console.Line)) (taken, error)
	// MakeBundle puts what is held of a channel into a file. The line is nil when nothing
	// was written.
	MakeBundle(ctx context.Context, r bundleRequest, report func(console.Line)) (*console.Bundled, error)
	// Serve seeds everything that was fetched and goes on with what is not
	// complete, until the context ends.
	Serve(ctx context.Context, report func(console.Line)) error
	// Follow reports what channels say, and runs a hook for it, until the context ends;
	// with Once it returns when all that is known was reported.
	Follow(ctx context.Context, r followRequest, report func(console.Line)) error
	// Show answers feed readers until stop is called, or the context ends. url is empty
	// when that is not wanted.
	Show(ctx context.Context, r faceRequest) (url string, stop func() error, err error)
	// Offers reports what is on offer on the local network, each once, until the
	// context ends; that is no error.
	Offers(ctx context.Context, report func(console.Offer)) error
}

// target is what a link names; exactly one of the three is set.
type target struct {
	Channel *signing.Link
	Magnet  *manifest.Magnet
	Torrent *manifest.Torrent
}

// fetchRequest is what is to be fetched and how.
type fetchRequest struct {
	target
	Dest    string        // absolute directory that will hold the name
	Force   bool          // other content under that name is replaced
	Blind   bool          // of a private channel the ciphertext is kept as it is
	DryRun  bool          // learn what it is and how large, write nothing: fetched.Plan
	Told    bool          // by follow: neither the text of a post nor how its channel stands is reported
	Timeout time.Duration // without progress; 0: for ever
	console.Peering
}

// fetched is the end of a fetch; one of the three is set.
type fetched struct {
	Infohash string // of Done
	Done     *console.Done
	Entry    *console.Entry // the link names a text
	Plan     *console.Plan  // of a dry run
}

// line is what there is to say of it.
func (f fetched) line() console.Line {
	switch {
	case f.Plan != nil:
		return *f.Plan
	case f.Entry != nil:
		return *f.Entry
	}
	return *f.Done
}

// opener returns what makes the node of this process.
func opener(a *console.App) func(ctx context.Context, stateDir string) (node, error) {
	return func(ctx context.Context, stateDir string) (node, error) { return openNode(ctx, a, stateDir) }
}
