package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"handful/bench/netns"
	"handful/bench/rival"
)

// TestInterop lets our commands and the clients of others exchange trees of files: each fetches from `seed publish`, told
// nothing but what that printed, and then, when our seed is gone, gives the same torrent to our `fetch`. Beside them stand
// those that give what they should not. All run at the same time, since nearly all of it is waiting for other programs'
// timers.
func TestInterop(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real clients")
	}
	in := newInterop(t)
	type story struct {
		name string
		run  func(context.Context) error
		err  error
	}
	stories := []*story{
		{name: "contradiction/torrent", run: func(ctx context.Context) error { return in.contradiction(ctx, false) }},
		{name: "contradiction/magnet", run: func(ctx context.Context) error { return in.contradiction(ctx, true) }},
		{name: "liar", run: in.lied},
	}
	for i, m := range meetings() {
		stories = append(stories, &story{name: m.name(), run: func(ctx context.Context) error { return m.run(ctx, in, uint64(i)) }})
	}
	turn := make(chan struct{}, 8)
	var running sync.WaitGroup
	for _, s := range stories {
		running.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s.err = s.run(ctx)
		})
	}
	running.Wait()
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			switch {
			case errors.Is(s.err, rival.ErrMissing):
				missingClient(t, s.err)
			case errors.Is(s.err, rival.ErrUnsupported):
				t.Skip(s.err)
			case s.err != nil:
				t.Error(s.err)
			}
		})
	}
}

// meeting is one tree that goes from us to another client and from there back to us.
type meeting struct {
	client rival.Client
	format string // of seed publish
	magnet string // "" = by .torrent; else which topics of the magnet are left: "all", "btih", "btmh"
	pieces string // --piece-length, "" = our choice
	large  int    // bytes of one more file
	habits habits // of client
}

func (m *meeting) name() string {
	by := "torrent"
	if m.magnet != "" {
		by = "magnet-" + m.magnet
	}
	name := m.client.Name() + "/" + m.format + "/" + by
	if m.large > 0 {
		name += "/large"
	}
	return name
}

func meetings() []*meeting {
	lt := rival.Libtorrent()
	all := []*meeting{
		// An info dict with both kinds of metadata, reached by either kind of hash, and with one kind alone.
		{client: lt, format: "hybrid", magnet: "btih", pieces: "32K"},
		{client: lt, format: "hybrid", magnet: "btmh", pieces: "32K"},
		{client: lt, format: "hybrid", magnet: "all", pieces: "32K"},
		{client: lt, format: "hybrid", pieces: "32K"},
		{client: lt, format: "v2", magnet: "all", pieces: "32K"},
		{client: lt, format: "v2", pieces: "32K"},
		// A file of more than 512 pieces: its piece layer takes more than one request of BEP 52.
		{client: lt, format: "hybrid", magnet: "btih", pieces: "16K", large: 9<<20 + 5},
		{client: lt, format: "v2", magnet: "all", pieces: "16K", large: 9<<20 + 5},
	}
	// What is chosen for a tree with empty files is v1, which everybody reads. Hybrids are for libtorrent alone:
	// Transmission 3.00 calls any of them corrupt and aria2 1.36 computes another infohash, those that libtorrent makes
	// included.
	for _, m := range []meeting{
		{client: lt, format: "auto"},
		{client: rival.Aria2(), format: "auto"},
		{client: rival.Transmission(), format: "auto", habits: habits{lacksEmpty: true}},
	} {
		byMagnet := m
		byMagnet.magnet = "all"
		all = append(all, &m, &byMagnet)
	}
	return all
}

func (m *meeting) run(ctx context.Context, in *interop, seed uint64) error {
	if _, err := m.client.Find(ctx); err != nil {
		return err
	}
	dir := filepath.Join(in.dir, fmt.Sprint("meeting", seed))
	name := fmt.Sprintf("tree %d", seed)
	source := filepath.Join(dir, "source", name)
	// The engine cannot place empty entries in a tree of BEP 52.
	sizes := sizes(32<<10, m.format == "auto")
	if m.large > 0 {
		sizes = append(sizes, m.large)
	}
	if err := makeTree(source, seed, sizes); err != nil {
		return err
	}
	args := []string{"--format", m.format}
	if m.pieces != "" {
		args = append(args, "--piece-length", m.pieces)
	}
	origin, published, err := in.publish(ctx, source, filepath.Join(dir, "origin"), args...)
	if err != nil {
		return err
	}
	defer origin.stop()
	theirs := filepath.Join(dir, "theirs")
	if err := os.Mkdir(theirs, 0o777); err != nil {
		return err
	}
	job := rival.Job{Dir: theirs, Name: name, Work: filepath.Join(dir, "client"), Listen: in.next(), Namespace: in.namespace}
	m.told(&job, published)
	other, err := m.client.Leech(ctx, job)
	if err != nil {
		return err
	}
	defer other.Stop()
	if err := other.Wait(ctx); err != nil {
		return fmt.Errorf("from us: %w\n  our seed:\n%s", err, origin.tail())
	}
	if err := sameTree(source, filepath.Join(theirs, name), len(sizes), m.habits); err != nil {
		return fmt.Errorf("from us: %w", err)
	}
	origin.stop()
	if err := m.back(ctx, in, dir, published, job.Listen); err != nil {
		return fmt.Errorf("to us: %w\n  the other client:\n%s", err, other.LogTail(30))
	}
	return sameTree(source, filepath.Join(dir, "ours", name), len(sizes), habits{})
}

// told puts what was published into a job.
func (m *meeting) told(j *rival.Job, published line) {
	switch m.magnet {
	case "":
		j.Torrent = published.Torrent
	case "all":
		j.Magnet = published.Magnet
	default:
		j.Magnet = only(m.magnet, published.Magnet)
	}
}

// back fetches from the other client: by .torrent it is found through a tracker, by magnet through --peer.
func (m *meeting) back(ctx context.Context, in *interop, dir string, published line, from netip.AddrPort) error {
	own := in.next()
	var what rival.Job
	m.told(&what, published)
	args := []string{what.Magnet, "--peer", from.String()}
	if what.Torrent != "" {
		l, err := netns.Listen(in.namespace, in.next())
		if err != nil {
			return err
		}
		tracker, err := rival.NewPeerList(l, from, []netip.AddrPort{own})
		if err != nil {
			return err
		}
		defer tracker.Close()
		args = []string{what.Torrent, "--tracker", tracker.URL()}
	}
	args = append(args, "-o", filepath.Join(dir, "ours"), "--listen", own.String(), "--timeout", "60s", "--seed-for", "0")
	c, err := in.start(ctx, in.tools.Fetch, filepath.Join(dir, "fetch"), args...)
	if err != nil {
		return err
	}
	defer c.stop()
	done, err := c.await(ctx, "done")
	if err != nil {
		return err
	}
	if code, _, err := c.finish(ctx); err != nil || code != 0 {
		return fmt.Errorf("fetch ended with %d, %v", code, err)
	}
	r := done.Received
	if got := r["host"] + r["link"] + r["site"] + r["far"]; r["origin"] != 0 || got != done.Bytes+done.Wasted || got == 0 {
		return fmt.Errorf("%d bytes with %d wasted came as %v", done.Bytes, done.Wasted, r)
	}
	return nil
}
