package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"handful/bench/rival"
	"handful/signing"
	"handful/swarm"
	"handful/swarm/follow"
)

// board is where all followers write down what they have printed, and when.
type board struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every entry
	last    time.Time
}

func newBoard() *board { return &board{changed: make(chan struct{}), last: time.Now()} }

func (b *board) write(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	b.last = time.Now()
	close(b.changed)
	b.changed = make(chan struct{})
}

// feedFollower is a follower, in a process or in this one, over all its lives.
type feedFollower struct {
	board *board
	dir   string
	run   func(ctx context.Context, f *feedFollower) error // one life

	end   context.CancelFunc // of this life
	ended chan struct{}
	err   error // of the last life, when ended is closed

	// Guarded by board.mu.
	printed  map[int64]time.Time // when each was printed first
	highest  int64
	repeated int
	disorder int
	addr     string      // where it listens
	usage    rival.Usage // of its processes
}

// start begins a life.
func (f *feedFollower) start(ctx context.Context) {
	ctx, f.end = context.WithCancel(ctx)
	f.ended = make(chan struct{})
	go func() {
		defer close(f.ended)
		f.err = f.run(ctx, f)
		if ctx.Err() != nil {
			f.err = nil // as it was meant
		}
		f.board.write(func() {})
	}()
}

// stop ends a life: of a process by SIGKILL.
func (f *feedFollower) stop() error {
	f.end()
	<-f.ended
	return f.err
}

// print notes that an entry was printed.
func (f *feedFollower) print(index int64, at time.Time) {
	f.board.write(func() {
		switch _, again := f.printed[index]; {
		case again:
			f.repeated++
			return
		case index < f.highest:
			f.disorder++
		}
		f.printed[index] = at
		f.highest = max(f.highest, index)
	})
}

// has reports whether an entry was printed. The caller holds the board's mu.
func (f *feedFollower) has(index int64) bool { _, ok := f.printed[index]; return ok }

// hasAll reports whether as many entries were printed.
func (f *feedFollower) hasAll(n int) bool {
	f.board.mu.Lock()
	defer f.board.mu.Unlock()
	return len(f.printed) == n
}

// own is a loopback address for each of some followers: peers at one address are one source
// to a stranger, however many they are.
func own(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 1, byte(i%254 + 1)}) }

// inProcess is a life of a node in this process: what a follower does, less the printing.
// It listens at an address and takes the newest first entries; 0: as many as a follower does.
func inProcess(link signing.Link, at netip.Addr, first int) func(context.Context, *feedFollower) error {
	return func(ctx context.Context, f *feedFollower) (err error) {
		node, err := swarm.Start(ctx, swarm.Config{Listen: netip.AddrPortFrom(at, 0).String(), Isolated: true, MachineID: f.dir})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, node.Close()) }()
		var peers []netip.AddrPort
		for _, p := range link.Peers {
			ap, err := netip.ParseAddrPort(p)
			if err != nil {
				return err
			}
			peers = append(peers, ap)
		}
		follower, err := follow.Open(follow.Config{Node: node, Dir: filepath.Join(f.dir, "trust"), ID: link.ID, Peers: peers})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, follower.Close()) }()
		inbox, err := follow.OpenInbox(follow.InboxConfig{Channel: link.ID, Dir: filepath.Join(f.dir, "feed"), First: first})
		if err != nil {
			return err
		}
		f.board.write(func() { f.addr = node.Addrs()[0].String() })
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		var reading sync.WaitGroup
		defer reading.Wait()
		reading.Go(func() { cancel(inbox.Run(ctx, follower)) })
		return f.readInbox(ctx, inbox)
	}
}

// readInbox prints what comes, from where the last life ended.
func (f *feedFollower) readInbox(ctx context.Context, inbox *follow.Inbox) error {
	_, age := inbox.TakenBack(nil, 0)
	at, _, err := inbox.Cursor("bench")
	if err != nil {
		return err
	}
	news, cancel := inbox.Subscribe()
	defer cancel()
	for {
		at, age = inbox.TakenBack(at, age)
		entries, err := inbox.Since(at, 64)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if _, err := io.Discard.Write(e.Line()); err != nil {
				return err
			}
			f.print(e.Index, time.Now())
			at = at.With(e)
		}
		if len(entries) > 0 {
			if err := inbox.SetCursor("bench", at, age); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news:
		}
	}
}

// process is a life of `fetch follow` in a process of its own. A line counts from when it was read from its pipe, which
// is no earlier than it was printed.
func process(fetch string, link signing.Link, more ...string) func(context.Context, *feedFollower) error {
	return func(ctx context.Context, f *feedFollower) error {
		args := append([]string{"follow", link.String(), "--json", "--listen", "127.0.0.1:0", "--iface", "none", "--dht=false",
			"--machine-id", f.dir, "--state-dir", filepath.Join(f.dir, "state")}, more...)
		cmd := exec.CommandContext(ctx, fetch, args...)
		cmd.Env = []string{"HOME=" + f.dir, "GOTRACEBACK=all"}
		var says bytes.Buffer
		cmd.Stderr = &says
		cmd.Stdout = &lines{each: f.line}
		u, err := rival.Measure(cmd)
		f.board.write(func() {
			f.usage.CPU += u.CPU
			f.usage.PeakAnon = max(f.usage.PeakAnon, u.PeakAnon)
		})
		if err != nil {
			err = fmt.Errorf("%w: %s", err, says.Bytes()[max(0, says.Len()-500):])
		}
		return err
	}
}

// line takes a line of a process.
func (f *feedFollower) line(b []byte) {
	at := time.Now()
	var l struct {
		Type, Addr string
		Index      int64
	}
	if json.Unmarshal(b, &l) != nil {
		return
	}
	switch l.Type {
	case "listening":
		f.board.write(func() { f.addr = l.Addr })
	case "entry":
		f.print(l.Index, at)
	}
}

// lines is a Writer that hands on whole lines.
type lines struct {
	rest []byte
	each func([]byte)
}

func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		l.each(l.rest[:i])
		l.rest = l.rest[i+1:]
	}
}

// received asks a process how many bytes of messages it has got.
func (f *feedFollower) received(ctx context.Context) (int64, error) {
	f.board.mu.Lock()
	addr := f.addr
	f.board.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/status", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var s struct {
		Messages struct{ Received int64 }
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&s); err != nil {
		return 0, fmt.Errorf("read %s/status: %w", addr, err)
	}
	return s.Messages.Received, nil
}

// newFollower is one that has not begun.
func newFollower(b *board, dir string, run func(context.Context, *feedFollower) error) (*feedFollower, error) {
	f := &feedFollower{board: b, dir: dir, run: run, printed: make(map[int64]time.Time), usage: rival.Usage{PeakAnon: -1}}
	return f, os.MkdirAll(dir, 0o700)
}
