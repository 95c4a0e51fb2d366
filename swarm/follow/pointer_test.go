package follow

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"handful/signing"
	"handful/swarm"
	"handful/swarm/discover/mainline"
)

func dhtNode(t *testing.T, bootstrap ...string) *swarm.Node {
	t.Helper()
	n, err := swarm.Start(t.Context(), swarm.Config{Listen: "127.0.0.1:0", Isolated: true, DHT: true, DHTBootstrap: bootstrap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// putItem puts a writer's item until a node takes it: they may not have met yet.
func putItem(t *testing.T, d *mainline.Node, o *owner, writer string, seq int64, value []byte) mainline.Item {
	t.Helper()
	it, err := mainline.Sign(o.keys[writer], []byte(writer), seq, value)
	o.must(err)
	for {
		if _, err = d.Put(t.Context(), it, mainline.PutOptions{}); err == nil {
			return it
		}
		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestWritersItems: who knows a channel's documents, but meets nobody, hears in the DHT what
// another writer has said, and keeps its item alive. What stands there under a writer's key and is
// no news, is of another writer, or of who may write no more, is passed over.
func TestWritersItems(t *testing.T) {
	w := newWorld(t)
	o := newOwner(t, w)
	o.grant("alice", "bob", "carol", "dave")
	o.post("dave", "before")
	dir := t.TempDir()
	f := w.mustFollow(dir, o.id())
	w.meet(f.member, w.add(o))
	w.settle(f)
	o.post("dave", "after") // the follower does not hear of it
	kept := map[string]mainline.Item{}
	other := dhtNode(t)
	node := dhtNode(t, other.DHT().Addr().String())
	value := func(writer string) []byte {
		o.t.Helper()
		u, err := o.logs[writer].UpdateWithin(0, mainline.MaxValue)
		o.must(err)
		return u.Bytes()
	}
	o.post("alice", "Hello")
	kept["alice"] = putItem(t, other.DHT(), o, "alice", 7, value("alice"))
	kept["dave"] = putItem(t, other.DHT(), o, "dave", 7, value("dave"))
	kept["bob"] = putItem(t, other.DHT(), o, "bob", 1<<60, []byte("7:garbage"))
	kept["carol"] = putItem(t, other.DHT(), o, "carol", 1<<60, value("alice"))

	real, err := Open(Config{Node: node, Dir: dir, ID: o.id(), Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	defer real.Close()
	for !node.DHT().Keeps(kept["alice"].Target()) || !node.DHT().Keeps(kept["dave"].Target()) {
		select {
		case <-t.Context().Done():
			t.Fatal("the items are not kept alive")
		case <-time.After(50 * time.Millisecond):
		}
	}
	for name, want := range map[string]int64{"alice": 1, "bob": 0, "carol": 0, "dave": 2} {
		if got := real.Trust().Size(name); got != want || node.DHT().Keeps(kept[name].Target()) != (want > 0) {
			t.Errorf("%s has %d entries, want %d; kept is %v", name, got, want, node.DHT().Keeps(kept[name].Target()))
		}
	}
	if err := real.Close(); err != nil || node.DHT().Keeps(kept["alice"].Target()) {
		t.Errorf("after the end the item is kept: %v", err)
	}
}

// TestDue: of a channel with many writers some are asked for at a time, and each has its turn;
// of who may write no more nothing is asked.
func TestDue(t *testing.T) {
	w := newWorld(t)
	o := newOwner(t, w)
	var names []string
	for i := range 3*itemsAtOnce + 5 {
		names = append(names, fmt.Sprintf("w%02d", i))
	}
	o.grant(names...)
	f := w.mustFollow(t.TempDir(), o.id())
	w.meet(f.member, w.add(o))
	w.settle(f)
	watch := &itemWatch{f: f.Follower, looked: map[address]bool{}, kept: map[address]bool{}}
	seen := map[string]bool{}
	for range 4 {
		due := watch.due(f.items(), true)
		if len(due) != itemsAtOnce {
			t.Fatalf("%d items are asked for", len(due))
		}
		for _, a := range due {
			seen[a.salt], watch.looked[a] = true, true
		}
	}
	if len(seen) != len(names) || len(watch.due(f.items(), false)) != 0 {
		t.Errorf("%d of %d had their turn", len(seen), len(names))
	}
	o.grant(append(slices.Clone(names[1:]), "new")...)
	o.tell(w.nodes[1], signing.MainWriter, 1)
	w.settle(f)
	due := watch.due(f.items(), false)
	if len(due) != 1 || due[0].salt != "new" || slices.ContainsFunc(f.items(), func(a address) bool { return a.salt == names[0] }) {
		t.Errorf("after another document %d items are due: %v", len(due), due)
	}
}
