package follow

import (
	"context"
	"slices"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/channel"
)

// awaitAround waits until a follower sees these writers.
func awaitAround(t *testing.T, f *Follower, want ...string) {
	t.Helper()
	for {
		news := f.Changed()
		if slices.Equal(f.Around().Writers, want) {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%q are around, want %q", f.Around().Writers, want)
		case <-news:
		}
	}
}

// Who is around reaches followers that are not connected with the writer, and ends when it
// leaves; and nobody can say it in its stead.
func TestWhoIsAround(t *testing.T) {
	w := newTalker(t)
	w.say(manifest.Post{Title: "Hello", Head: manifest.Header{Time: time.Now().UnixMilli()}})
	near := listen(t, startNode(t), w, t.TempDir()).f
	liar := startNode(t)
	trust, err := OpenTrust(t.TempDir(), w.root.ID())
	if err != nil {
		t.Fatal(err)
	}
	c, err := channel.Join(liar, channel.Config{ID: w.root.ID(), Source: held{t: trust}, Sink: deaf{}, Peers: near.cfg.Node.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Leave(context.Background()) })
	awaitPeers := func(f *Follower, n int) {
		for f.Peers() < n {
			news := f.Changed()
			if f.Peers() >= n {
				break
			}
			select {
			case <-t.Context().Done():
				t.Fatal("nobody is there")
			case <-news:
			}
		}
	}
	awaitPeers(near, 2)
	say := func(ch *channel.Channel, at time.Time, left bool, key byte) {
		p, err := signing.SignPresence(w.root.ID(), signing.MainWriter, at, left, seedKey(key))
		if err != nil {
			t.Fatal(err)
		}
		ch.Announce(p)
	}
	now := time.Now()
	say(c, now.Add(time.Second), false, 7) // a lie, and later than what is true
	say(w.ch, now, false, 2)
	awaitAround(t, near, signing.MainWriter)
	if n := near.Around().Others; n != 1 {
		t.Errorf("%d others are around, want the liar alone", n)
	}

	// A replay after it has left does not bring it back.
	say(w.ch, now.Add(2*time.Second), true, 2)
	awaitAround(t, near)
	say(c, now, false, 2)
	far := listen(t, startNode(t), w, t.TempDir(), near.cfg.Node.Addrs()...).f
	awaitPeers(far, 1)
	say(w.ch, now.Add(3*time.Second), false, 2)
	awaitAround(t, near, signing.MainWriter)
	awaitAround(t, far, signing.MainWriter)
}
