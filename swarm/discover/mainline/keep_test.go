package mainline

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestKeep keeps an item for half a day. It is there all the time, and again after its owner
// went, as long as a follower is there; without both it is forgotten.
func TestKeep(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		nodes := w.crowd(6, nil)
		w.settle(time.Minute)
		it := signed(t, "m", 5, "5:hello")
		owner, follower := nodes[3], nodes[4]
		if err := owner.Keep(it); err != nil {
			t.Fatal(err)
		}
		w.settle(10 * time.Second)
		there := func(when string, want bool) Found {
			t.Helper()
			f, err := nodes[5].Get(t.Context(), publicKey(1), []byte("m"), nil)
			if (err == nil) != want || !want && !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %+v, %v", when, f, err)
			}
			return f
		}
		there("at once", true)
		for range 2 {
			time.Sleep(100 * time.Minute)
			there("later", true)
		}
		if err := follower.Keep(it); err != nil {
			t.Fatal(err)
		}
		owner.Drop(it.Target())
		for range 2 {
			time.Sleep(100 * time.Minute)
			there("without its owner", true)
		}
		newer := signed(t, "m", 6, "5:newer")
		if _, err := nodes[0].Put(t.Context(), newer, PutOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		if f := there("the newer", true); f.Item.Seq != 6 {
			t.Errorf("kept is seq %d", f.Item.Seq)
		}
		follower.Drop(it.Target())
		time.Sleep(3 * time.Hour)
		there("without anybody", false)
	})
}

// TestKeepSeldom replaces a kept item a hundred times in a minute.
func TestKeepSeldom(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		nodes := w.crowd(3, nil)
		w.settle(10 * time.Second)
		puts := 0
		var last int64
		e := w.listen("10.66.0.1:1")
		defer e.Close()
		id := near(signed(t, "m", 1, "le").Target(), 0)
		go e.serve(func(m message, _ netip.AddrPort) [][]byte {
			if m.method == "put" {
				puts, last = puts+1, *m.body.seq
			}
			return [][]byte{message{transaction: m.transaction, kind: 'r', body: body{sender: id, token: []byte("t")}}.append(nil)}
		})
		nodes[1].answered(contact{id, e.addr})
		for i := range 100 {
			if err := nodes[1].Keep(signed(t, "m", int64(i), "le")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		w.settle(20 * time.Second)
		if puts != 2 || last != 99 {
			t.Errorf("%d puts, the last of seq %d", puts, last)
		}
		if err := nodes[1].Keep(signed(t, "m", 3, "le")); err != nil {
			t.Error(err)
		}
		forged := signed(t, "m", 3, "le")
		forged.Seq++
		if err := nodes[1].Keep(forged); !errors.Is(err, ErrForged) {
			t.Errorf("forged: %v", err)
		}
	})
}

func TestPutRules(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		nodes := w.crowd(5, nil)
		w.settle(10 * time.Second)
		put := func(it Item, o PutOptions) (Stored, error) { return nodes[1].Put(t.Context(), it, o) }
		if s, err := put(signed(t, "m", 5, "1:a"), PutOptions{}); err != nil || s.Nodes < 4 {
			t.Fatalf("%+v, %v", s, err)
		}
		if s, err := put(signed(t, "m", 4, "1:a"), PutOptions{}); !errors.Is(err, ErrNewer) || s.Newer.Seq != 5 {
			t.Errorf("older: %+v, %v", s, err)
		}
		if s, err := put(signed(t, "m", 5, "1:b"), PutOptions{}); !errors.Is(err, ErrNewer) || string(s.Newer.Value) != "1:a" {
			t.Errorf("same seq, other value: %+v, %v", s, err)
		}
		if s, err := put(signed(t, "m", 5, "1:a"), PutOptions{}); err != nil || s.Nodes < 4 {
			t.Errorf("again: %+v, %v", s, err)
		}
		if s, err := put(signed(t, "m", 6, "1:c"), PutOptions{CAS: new(int64(3))}); !errors.Is(err, ErrNotStored) {
			t.Errorf("cas of another seq: %+v, %v", s, err)
		}
		if s, err := put(signed(t, "m", 6, "1:c"), PutOptions{CAS: new(int64(5))}); err != nil || s.Nodes < 4 {
			t.Errorf("cas: %+v, %v", s, err)
		}
	})
}

// TestPeers announces several peers of one address, as behind one router.
func TestPeers(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		var mu sync.Mutex
		found := make(map[int][]netip.AddrPort)
		nodes := w.crowd(10, func(i int, cfg *Config) {
			cfg.OnPeers = func(ih [20]byte, peers []netip.AddrPort) {
				mu.Lock()
				defer mu.Unlock()
				found[i] = append(found[i], peers...)
			}
		})
		host := []*Node{nodes[1]}
		for _, addr := range []string{"10.0.0.2:7001", "10.0.0.2:7002"} {
			host = append(host, w.start(addr, func(c *Config) { c.Bootstrap = []string{"10.0.0.1:6881"} }))
		}
		w.settle(10 * time.Second)
		ih := [20]byte([]byte(id20))
		for i, n := range host {
			if err := n.Announce(ih, uint16(9000+i), true); err != nil {
				t.Fatal(err)
			}
		}
		w.settle(5 * time.Second)
		if err := nodes[8].Announce(ih, 0, true); err != nil {
			t.Fatal(err)
		}
		w.settle(5 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		slices.SortFunc(found[8], netip.AddrPort.Compare)
		if got := slices.Compact(found[8]); len(got) != 3 || got[0].String() != "10.0.0.2:9000" || got[2].String() != "10.0.0.2:9002" {
			t.Errorf("found %v", got)
		}
		if len(found[3]) > 0 {
			t.Errorf("somebody who did not ask was told %v", found[3])
		}
	})
}

// TestAlone has nodes that know nobody: one sends nothing at all, one whose bootstrap nodes
// are not there tries seldom. Neither keeps anybody waiting.
func TestAlone(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		lookups := 0
		mute := w.start("10.0.0.1:6881", nil)
		lost := w.start("10.0.0.2:6881", func(c *Config) {
			c.Bootstrap = []string{"10.99.0.1:6881", "router.example:6881", "nonsense"}
			c.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
				lookups++
				<-ctx.Done() // a resolver that is not reached
				return nil, ctx.Err()
			}
		})
		for _, n := range []*Node{mute, lost} {
			n.Announce([20]byte{1}, 7, true)
			n.Keep(signed(t, "m", 1, "le"))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := n.Get(ctx, publicKey(1), nil, nil); !errors.Is(err, ErrAlone) {
				t.Errorf("get: %v", err)
			}
			cancel()
		}
		time.Sleep(24 * time.Hour)
		if got := w.packets("10.0.0.1:6881"); got != 0 {
			t.Errorf("the mute node sent %d packets", got)
		}
		if got := w.packets("10.0.0.2:6881"); got < 100 || got > 200 {
			t.Errorf("the lost node sent %d packets in a day", got)
		}
		if lookups > 200 {
			t.Errorf("%d names were looked up", lookups)
		}
		begin := time.Now()
		lost.Close()
		if d := time.Since(begin); d > time.Second {
			t.Errorf("Close took %s", d)
		}
		if err := lost.Announce([20]byte{2}, 1, true); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestRestart starts a node anew that has nothing but its file.
func TestRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dht")
	bubble(t, func(t *testing.T, w *wire) {
		w.crowd(10, nil)
		n := w.start("10.1.0.1:6881", func(c *Config) { c.File, c.Bootstrap = file, []string{"10.0.0.1:6881"} })
		w.settle(time.Minute)
		id, size := n.id, n.Size()
		if err := n.Close(); err != nil || size < few {
			t.Fatalf("%d nodes: %v", size, err)
		}
		again := w.start("10.1.0.1:6881", func(c *Config) { c.File = file })
		w.settle(5 * time.Second)
		if again.id != id || again.Size() < few {
			t.Errorf("id %x, want %x; %d nodes are known, %d were", again.id, id, again.Size(), size)
		}
		again.Close()

		// With nobody there, the file stays as it is.
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := newWire(t)
		third := elsewhere.start("10.1.0.1:6881", func(c *Config) { c.File = file })
		time.Sleep(time.Minute)
		third.Close()
		if s, err := parseSaved(before); err != nil || len(s.nodes) == 0 {
			t.Error(err)
		}
		if after, err := os.ReadFile(file); err != nil || len(after) != len(before) {
			t.Errorf("the file has %d bytes, had %d: %v", len(after), len(before), err)
		}

		for _, damage := range [][]byte{nil, []byte("hello"), before[:40], make([]byte, MaxFile+1)} {
			if err := os.WriteFile(file, damage, 0o600); err != nil {
				t.Fatal(err)
			}
			n, err := Start(Config{Conn: w.listen("10.2.0.1:6881"), File: file, Rand: rand.New(rand.NewPCG(5, 6))})
			if err != nil {
				t.Fatal(err)
			}
			if n.id == id || len(n.hints) > 0 {
				t.Errorf("a damaged file of %d bytes was believed", len(damage))
			}
			n.Close()
		}
	})
}
