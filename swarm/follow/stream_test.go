package follow

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm"
	"handful/swarm/channel"
	"handful/swarm/feed"
)

// talker is the node of a channel's main writer.
type talker struct {
	t    *testing.T
	node *swarm.Node
	root *signing.Root
	ch   *channel.Channel

	mu  sync.Mutex
	log *signing.Log
}

func startNode(t *testing.T) *swarm.Node {
	t.Helper()
	n, err := swarm.Start(t.Context(), swarm.Config{Listen: "127.0.0.1:0", Isolated: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func newTalker(t *testing.T) *talker {
	w := &talker{t: t, node: startNode(t), root: testRoot(t)}
	var err error
	if w.log, err = signing.NewLog(w.root.ID(), signing.MainWriter, &signing.Memory{}, 1); err != nil {
		t.Fatal(err)
	}
	if w.ch, err = channel.Join(w.node, channel.Config{ID: w.root.ID(), Source: w, Sink: deaf{}, Origin: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.ch.Leave(context.Background()) })
	return w
}

// say appends posts and signs once.
func (w *talker) say(entries ...manifest.Entry) {
	w.t.Helper()
	w.mu.Lock()
	before := w.log.Size()
	for _, e := range entries {
		b, err := manifest.EncodeEntry(e)
		if err == nil {
			_, err = w.log.Append(b)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	_, err := w.log.SignHead(seedKey(2), time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	u, err := w.log.UpdateFor(before)
	w.mu.Unlock()
	if err != nil {
		w.t.Fatal(err)
	}
	w.ch.Push(signing.MainWriter, u, 0)
}

func (w *talker) UpdateFor(writer string, size int64) (signing.Update, bool) {
	return w.UpdateWithin(writer, size, signing.MaxUpdate)
}

func (w *talker) UpdateWithin(_ string, size int64, limit int) (signing.Update, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, err := w.log.UpdateWithin(size, limit)
	return u, err == nil
}

func (w *talker) RootBytes(version int64) []byte {
	if version != 1 {
		return nil
	}
	return w.root.Bytes()
}

func (w *talker) TargetsBytes([32]byte) []byte { return nil }

func (w *talker) Page(_ string, first, count, size int64) (signing.Page, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, err := w.log.Page(first, count, size)
	return p, err == nil
}

func (w *talker) Range(_ string, size int64) ([][32]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := w.log.Range(0, size)
	return r, err == nil
}

func (w *talker) Holds(string) (channel.Holding, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.log.Head()
	return channel.Holding{Size: h.Size, Time: h.Time.Unix()}, h.Raw != nil
}

// deaf hears nothing.
type deaf struct{}

func (deaf) Joined(channel.Peer, netip.AddrPort)           {}
func (deaf) Left(channel.Peer)                             {}
func (deaf) Update(channel.Peer, string, signing.Update)   {}
func (deaf) Root(channel.Peer, int64, []byte)              {}
func (deaf) Targets(channel.Peer, [32]byte, []byte)        {}
func (deaf) Fork(channel.Peer, string, signing.Fork)       {}
func (deaf) Page(channel.Peer, string, signing.Page)       {}
func (deaf) Range(channel.Peer, string, int64, [][32]byte) {}
func (deaf) Documents(channel.Peer, int64)                 {}

// listener is a follower with an inbox.
type listener struct {
	t     *testing.T
	dir   string
	f     *Follower
	inbox *Inbox
	stop  context.CancelFunc
	ended chan error
}

// listen follows w with a node, and with what is in dir.
func listen(t *testing.T, node *swarm.Node, w *talker, dir string, peers ...netip.AddrPort) *listener {
	t.Helper()
	return listenAt(t, node, w, dir, 0, append(peers, w.node.Addrs()...))
}

// listenFrom follows w with a node of its own from the newest so many entries on, and knows
// these peers alone.
func listenFrom(t *testing.T, w *talker, first int, peers []netip.AddrPort) *listener {
	t.Helper()
	return listenAt(t, startNode(t), w, t.TempDir(), first, peers)
}

func listenAt(t *testing.T, node *swarm.Node, w *talker, dir string, first int, peers []netip.AddrPort) *listener {
	t.Helper()
	l := &listener{t: t, dir: dir, ended: make(chan error, 1)}
	var err error
	if l.f, err = Open(Config{Node: node, Dir: filepath.Join(dir, "trust"), ID: w.root.ID(), Peers: peers}); err != nil {
		t.Fatal(err)
	}
	if l.inbox, err = OpenInbox(InboxConfig{Channel: w.root.ID(), Dir: dir, First: first}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	go func() { l.ended <- l.inbox.Run(ctx, l.f) }()
	t.Cleanup(l.close)
	return l
}

func (l *listener) close() {
	if l.stop == nil {
		return
	}
	l.stop()
	if err := <-l.ended; !errors.Is(err, context.Canceled) {
		l.t.Errorf("the inbox ended: %v", err)
	}
	if err := l.f.Close(); err != nil {
		l.t.Error(err)
	}
	l.stop = nil
}

// await waits until the inbox has entries up to size.
func (l *listener) await(size int64) {
	l.t.Helper()
	news, cancel := l.inbox.Subscribe()
	defer cancel()
	for l.inbox.Position()[signing.MainWriter] < size {
		select {
		case <-news:
		case <-l.t.Context().Done():
			l.t.Fatalf("%s never came", l.inbox.Position())
		}
	}
}

func text(s string, i int) manifest.Entry {
	return manifest.Post{Head: manifest.Header{Time: time.Now().UnixMilli()}, Title: fmt.Sprint(s, i)}
}

// TestSpread tells 24 followers, of whom the writer's node tells six, and goes on with one
// that was away.
func TestSpread(t *testing.T) {
	w := newTalker(t)
	w.say(text("first ", 0))
	var all []*listener
	for range 24 {
		all = append(all, listen(t, startNode(t), w, t.TempDir()))
	}
	for _, l := range all {
		l.await(1)
	}
	before, _ := w.ch.Traffic()
	all[3].close()
	for i := range 40 {
		w.say(text("post ", i))
	}
	for i, l := range all {
		if i == 3 {
			continue
		}
		l.await(41)
		got, err := l.inbox.Newest(100)
		if err != nil || len(got) != 41 {
			t.Fatalf("follower %d has %d entries: %v", i, len(got), err)
		}
		for n, e := range got {
			if e.Index != int64(n) || n > 0 && e.Post.Title != fmt.Sprint("post ", n-1) {
				t.Fatalf("follower %d has %s as number %d: %s", i, e.URI(), n, e.Post.Title)
			}
		}
	}
	after, _ := w.ch.Traffic()
	t.Logf("the writer's node sent %d bytes for 40 posts to 23 followers: %d a post", after-before, (after-before)/40)
	late := listen(t, startNode(t), w, all[3].dir, all[0].f.cfg.Node.Addrs()...)
	late.await(41)
	if got, err := late.inbox.Newest(100); err != nil || len(got) != 41 {
		t.Fatalf("who was away has %d entries: %v", len(got), err)
	}
}

// TestAway has a long past: a stranger takes the newest only, and sees more on demand; who
// was away for 1000 entries gets them all.
func TestAway(t *testing.T) {
	w := newTalker(t)
	var past []manifest.Entry
	for i := range 3000 {
		past = append(past, text("entry of a long past, number ", i))
	}
	w.say(past...)
	l := listen(t, startNode(t), w, t.TempDir())
	l.await(3000)
	if got, err := l.inbox.Newest(10000); err != nil || len(got) != FirstEntries || got[0].Index != 3000-FirstEntries {
		t.Fatalf("a stranger has %d entries: %v", len(got), err)
	}
	if err := l.f.Caught(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, err := l.f.Older(t.Context(), signing.MainWriter, 700, 1700)
	if err != nil || len(old) != 1000 || old[0].Index != 700 || old[999].Raw == nil {
		t.Fatalf("%d older entries: %v", len(old), err)
	}
	_, received := l.f.channel.Traffic()
	l.close()
	w.say(past[:1000]...)
	l = listen(t, startNode(t), w, l.dir)
	l.await(4000)
	if got, err := l.inbox.Newest(10000); err != nil || len(got) != FirstEntries+1000 {
		t.Fatalf("who was away has %d entries: %v", len(got), err)
	}
	_, again := l.f.channel.Traffic()
	t.Logf("%d bytes for %d entries and 1000 older ones, %d for 1000 missed", received, FirstEntries, again)
	if c, err := l.inbox.Tail(3, time.Time{}, nil, true); err != nil || c.From[signing.MainWriter] != 3997 {
		t.Errorf("the newest three begin at %s: %v", c.From, err)
	}
}

// TestCursors keeps how far readers are.
func TestCursors(t *testing.T) {
	dir := t.TempDir()
	open := func() *Inbox {
		b, err := OpenInbox(InboxConfig{Channel: testRoot(t).ID(), Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open()
	if _, ok, err := b.Cursor("shown"); ok || err != nil {
		t.Fatalf("a reader that has not begun: %v, %v", ok, err)
	}
	if err := b.SetCursor("shown", feed.Cursor{"m": 7, "alice": 2}, 0); err != nil {
		t.Fatal(err)
	}
	if c, ok, err := open().Cursor("shown"); !ok || err != nil || c.String() != "alice:2 m:7" {
		t.Fatalf("%s, %v, %v", c, ok, err)
	}
}
