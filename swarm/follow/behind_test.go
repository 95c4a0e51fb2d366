package follow

import (
	"context"
	"crypto"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"handful/signing"
)

// TestBaseBehindRelays has two followers alone. One learns that a document takes entries
// back, and what it tells the other about it is lost: the other, who has the longer log, hears
// of it all the same when they compare what they hold.
func TestBaseBehindRelays(t *testing.T) {
	w := newTalker(t)
	a := listen(t, startNode(t), w, t.TempDir())
	b := listen(t, startNode(t), w, t.TempDir(), a.f.cfg.Node.Addrs()...)
	for i := range 9 {
		w.say(text("post ", i))
	}
	a.await(9)
	b.await(9)
	for b.f.Peers() < 2 || a.f.Peers() < 2 {
		wait(t, b.f, a.f)
	}
	if err := w.ch.Leave(context.Background()); err != nil {
		t.Fatal(err)
	}
	tree, err := w.log.RootAt(3)
	if err != nil {
		t.Fatal(err)
	}
	old := w.root.Role(signing.RoleTimestamp).Keys[0].ID()
	next, err := w.root.Edit(signing.RootEdit{
		Timestamp: signing.RoleEdit{Drop: []string{old}, Add: []crypto.PublicKey{seedKey(9).Public()}},
		Base:      map[string]signing.Base{signing.MainWriter: {Size: 3, Root: tree}},
	})
	if err == nil {
		err = next.Sign(seedKey(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	log, err := signing.NewLog(w.root.ID(), signing.MainWriter, &signing.Memory{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		e, err := w.log.Entry(i)
		if err == nil {
			_, err = log.Append(e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.SignHead(seedKey(9), time.Now()); err != nil {
		t.Fatal(err)
	}
	u, err := log.UpdateFor(0)
	if err != nil {
		t.Fatal(err)
	}
	b.f.mu.Lock() // and it acts on nothing meanwhile
	if err := b.f.trust.UpdateRoot(next.Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.f.trust.UpdateHead(signing.MainWriter, u, time.Now()); err != nil {
		t.Fatal(err)
	}
	b.f.acted.root = 2
	b.f.acted.gone = map[string]int64{signing.MainWriter: 2}
	b.f.mu.Unlock()
	for a.f.Trust().Size(signing.MainWriter) != 3 || a.f.Trust().Head(signing.MainWriter).Raw == nil {
		wait(t, a.f)
	}
	if v := a.f.Trust().Root().Version(); v != 2 {
		t.Errorf("root version %d", v)
	}
}

// wait waits until one of them has changed, or a moment has passed.
func wait(t *testing.T, all ...*Follower) {
	t.Helper()
	tick := time.NewTimer(50 * time.Millisecond)
	defer tick.Stop()
	select {
	case <-all[0].Changed():
	case <-tick.C:
	case <-t.Context().Done():
		t.Fatal("it never came")
	}
}

// TestPortsAreNoSources: a machine that listens on many ports, or has many addresses of one
// IPv6 network, is one source, at the first contact and in what is shown.
func TestPortsAreNoSources(t *testing.T) {
	for _, host := range []func(n int) netip.Addr{
		func(int) netip.Addr { return netip.MustParseAddr("192.0.2.7") },
		func(int) netip.Addr { return netip.MustParseAddr("::ffff:192.0.2.7") },
		func(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:0:1::%x", n+1)) },
	} {
		w := newWorld(t)
		o := newOwner(t, w)
		o.post(signing.MainWriter, "one")
		f := w.mustFollow(t.TempDir(), o.id())
		for n := range 9 {
			m := w.add(o)
			f.member.peers[m.number], m.peers[f.member.number] = true, true
			addr := netip.AddrPortFrom(host(n), uint16(7000+n))
			w.post(func() { f.member.sink.Joined(m.number, addr) })
		}
		w.run()
		if f.Trust().Head(signing.MainWriter).Raw != nil {
			t.Errorf("%s: nine ports are believed at once", host(0))
		}
		w.settle(f)
		if s := f.Standing(signing.MainWriter); s.Sources != 1 || s.Asked != 1 || s.Install(2) == nil || s.Followed != 1 {
			t.Errorf("%s: it stands as %s", host(0), s)
		}
	}
	if a, b := sourceOf(netip.MustParseAddr("2001:db8:0:1::1")), sourceOf(netip.MustParseAddr("2001:db8:0:2::1")); a == b {
		t.Errorf("two networks are one source, %s", a)
	}
}

// TestLiarBehindTheSameAddress: behind one address an old head does not displace the new one
// that somebody else there has shown.
func TestLiarBehindTheSameAddress(t *testing.T) {
	w := newWorld(t)
	o := newOwner(t, w)
	o.post(signing.MainWriter, "one")
	frozen := *o
	frozen.logs = map[string]*signing.Log{signing.MainWriter: o.copyLog(o.logs[signing.MainWriter], 1)}
	frozen.sign(signing.MainWriter)
	o.post(signing.MainWriter, "two")
	f := w.mustFollow(t.TempDir(), o.id())
	for _, source := range []*owner{o, &frozen, &frozen} {
		m := w.add(source)
		f.member.peers[m.number], m.peers[f.member.number] = true, true
		w.post(func() { f.member.sink.Joined(m.number, netip.MustParseAddrPort("192.0.2.7:1")) })
		w.run()
	}
	for len(f.timers) > 0 {
		do := f.timers[0]
		f.timers = f.timers[1:]
		do()
	}
	if got := f.Trust().Size(signing.MainWriter); got != 2 {
		t.Errorf("%d entries are believed", got)
	}
}
