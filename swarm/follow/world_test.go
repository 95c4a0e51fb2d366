package follow

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/signing/durable"
	"handful/swarm/channel"
)

// world is a swarm without a network: who is in it is connected with some others, and what
// they say waits until it is delivered.
type world struct {
	t     testing.TB
	now   time.Time
	rand  *rand.Rand // nil: messages come in the order in which they were sent
	lose  float64    // share of messages that are lost
	twice float64    // share of messages that come twice
	mail  []func()
	nodes []*member
}

// member is somebody in the swarm. Its index, from 1, is the peer that others know.
type member struct {
	world  *world
	number channel.Peer
	source channel.Source
	sink   channel.Sink // nil: it only answers
	peers  map[channel.Peer]bool
	pushed map[string]int64 // by writer, the largest size that it passed on
	gone   bool
}

func newWorld(t testing.TB) *world { return &world{t: t, now: testTime} }

func (w *world) add(source channel.Source) *member {
	m := &member{world: w, number: channel.Peer(len(w.nodes) + 1), source: source, peers: map[channel.Peer]bool{}, pushed: map[string]int64{}}
	w.nodes = append(w.nodes, m)
	return m
}

func (w *world) member(p channel.Peer) *member { return w.nodes[p-1] }

// meet connects two members.
func (w *world) meet(a, b *member) {
	a.peers[b.number], b.peers[a.number] = true, true
	for _, pair := range [][2]*member{{a, b}, {b, a}} {
		if pair[0].sink != nil {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(pair[1].number)}), 6881)
			w.post(func() { pair[0].sink.Joined(pair[1].number, addr) })
		}
	}
}

// part ends all connections of a member.
func (w *world) part(a *member) {
	for p := range a.peers {
		other := w.member(p)
		delete(other.peers, a.number)
		if other.sink != nil {
			other.sink.Left(a.number)
		}
		if a.sink != nil && !a.gone {
			a.sink.Left(p)
		}
	}
	clear(a.peers)
}

func (w *world) post(f func()) { w.mail = append(w.mail, f) }

// send posts a message between members, or not.
func (w *world) send(from, to *member, f func()) {
	deliver := func() {
		if !from.gone && !to.gone && to.peers[from.number] {
			f()
		}
	}
	if w.rand != nil && w.rand.Float64() < w.lose {
		return
	}
	w.post(deliver)
	if w.rand != nil && w.rand.Float64() < w.twice {
		w.post(deliver)
	}
}

// run delivers until nothing is said any more.
func (w *world) run() {
	w.t.Helper()
	for n := 0; len(w.mail) > 0; n++ {
		if n > 100_000 {
			w.t.Fatal("they talk without an end")
		}
		i := 0
		if w.rand != nil {
			i = w.rand.IntN(len(w.mail))
		}
		f := w.mail[i]
		w.mail = append(w.mail[:i:i], w.mail[i+1:]...)
		f()
	}
}

// The member's wire.
func (m *member) Peers() (all []channel.Peer) {
	for p := range m.peers {
		all = append(all, p)
	}
	return all
}

// ask posts an ask, and what answers it.
func (m *member) ask(p channel.Peer, answer func(from *member) func()) {
	to := m.world.member(p)
	m.world.send(m, to, func() {
		if told := answer(to); told != nil && m.sink != nil {
			m.world.send(to, m, told)
		}
	})
}

func (m *member) AskUpdate(p channel.Peer, writer string, size int64) {
	m.ask(p, func(from *member) func() {
		u, ok := from.source.UpdateFor(writer, size)
		if !ok {
			return nil
		}
		return func() { m.sink.Update(p, writer, u) }
	})
}

func (m *member) AskUpdateWithin(p channel.Peer, writer string, size, limit int64) {
	m.ask(p, func(from *member) func() {
		u, ok := from.source.UpdateWithin(writer, size, int(limit))
		if !ok {
			return nil
		}
		return func() { m.sink.Update(p, writer, u) }
	})
}

func (m *member) Missing(_ channel.Peer, writer string) {
	ours, known := m.source.Holds(writer)
	for _, p := range m.Peers() {
		if h, ok := m.world.member(p).source.Holds(writer); ok && h.Size > ours.Size {
			if known {
				m.AskUpdate(p, writer, ours.Size)
			} else {
				m.AskUpdateWithin(p, writer, 0, channel.Introduction)
			}
		}
	}
}

func (m *member) AskRoot(p channel.Peer, version int64) {
	m.ask(p, func(from *member) func() {
		raw := from.source.RootBytes(version)
		if raw == nil {
			return nil
		}
		return func() { m.sink.Root(p, version, raw) }
	})
}

func (m *member) AskTargets(p channel.Peer, hash [32]byte) {
	m.ask(p, func(from *member) func() {
		raw := from.source.TargetsBytes(hash)
		if raw == nil {
			return nil
		}
		return func() { m.sink.Targets(p, hash, raw) }
	})
}

func (m *member) AskPage(p channel.Peer, writer string, first, size int64) {
	m.ask(p, func(from *member) func() {
		page, ok := from.source.Page(writer, first, 256, size)
		if !ok {
			return nil
		}
		return func() { m.sink.Page(p, writer, page) }
	})
}

func (m *member) AskRange(p channel.Peer, writer string, size int64) {
	m.ask(p, func(from *member) func() {
		rng, ok := from.source.Range(writer, size)
		if !ok {
			return nil
		}
		return func() { m.sink.Range(p, writer, size, rng) }
	})
}

func (m *member) Push(writer string, u signing.Update, but channel.Peer) {
	for _, p := range m.Peers() {
		if p != but {
			m.SendUpdate(p, writer, u)
		}
	}
}

func (m *member) SendUpdate(p channel.Peer, writer string, u signing.Update) {
	if h, err := signing.ParseHead(u.Head); err == nil {
		m.pushed[writer] = max(m.pushed[writer], h.Size)
	}
	to := m.world.member(p)
	if to.sink != nil {
		m.world.send(m, to, func() { to.sink.Update(m.number, writer, u) })
	}
}

func (m *member) SendFork(p channel.Peer, writer string, f signing.Fork) {
	for _, q := range m.Peers() {
		to := m.world.member(q)
		if (p == 0 || p == q) && to.sink != nil {
			m.world.send(m, to, func() { to.sink.Fork(m.number, writer, f) })
		}
	}
}

func (m *member) Unlist() {}

func (m *member) Forget(string) {}

func (m *member) Holders(string, int64) []channel.Peer { return m.Peers() }

func (m *member) AskPages(p channel.Peer, writer string, first, _, size int64) {
	m.AskPage(p, writer, first, size)
}

// follower is a member that follows.
type follower struct {
	*Follower
	member *member
	timers []func()
}

// follow opens a follower of a channel on a filesystem.
func (w *world) follow(files durable.FS, dir string, id signing.ID) (*follower, error) {
	trust, err := OpenTrustFS(files, dir, id)
	if err != nil {
		return nil, err
	}
	f := &follower{Follower: newFollower(Config{ID: id, Now: func() time.Time { return w.now }}, trust)}
	f.member = w.add(held{t: trust})
	f.wire, f.member.sink = f.member, ears{f.Follower}
	f.later = func(_ time.Duration, do func()) { f.timers = append(f.timers, do) }
	close(f.ready)
	return f, nil
}

// mustFollow is follow on a real directory.
func (w *world) mustFollow(dir string, id signing.ID) *follower {
	w.t.Helper()
	f, err := w.follow(durable.OS{}, dir, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// elapse lets the time of listening pass, and asks again what was not answered.
func (f *follower) elapse() {
	for len(f.timers) > 0 {
		do := f.timers[0]
		f.timers = f.timers[1:]
		do()
	}
	f.askAgain()
}

// settle runs the world until the followers have listened, and nobody has a question left.
func (w *world) settle(all ...*follower) {
	w.t.Helper()
	for range 2 {
		w.run()
		for _, f := range all {
			f.elapse()
		}
	}
	w.run()
}

// stop takes a follower off the swarm, as a crash does.
func (f *follower) stop() {
	f.member.gone = true
	f.member.world.part(f.member)
}

// texts returns what a follower reads of a writer, from the first entry on.
func (w *world) texts(f *follower, writer string) (all []string) {
	w.t.Helper()
	for i := range f.Trust().Size(writer) {
		raw := f.Entry(writer, i)
		for n := 0; raw == nil && n < 10; n++ {
			w.settle(f)
			raw = f.Entry(writer, i)
		}
		e, err := manifest.ParseEntry(raw)
		if err != nil {
			w.t.Fatalf("entry %d: %v", i, err)
		}
		p, ok := e.(manifest.Post)
		if !ok {
			p.Title = fmt.Sprint("a ", e.Kind())
		}
		all = append(all, p.Title)
	}
	return all
}
