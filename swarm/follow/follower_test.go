package follow

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"handful/signing"
	"handful/signing/durable/crashfs"
)

// life is the story of a channel, in steps: two rotations by two of three, a writer who
// comes and goes, and a stolen online key.
func life(o *owner) []func() {
	m := signing.MainWriter
	tick := func() { o.world.now = o.world.now.Add(time.Minute) }
	return []func(){
		func() { o.post(m, "one"); o.post(m, "two") },
		func() { // the holder of the first root key leaves
			drop := keyID(o.newest().Role(signing.RoleRoot), o.holders[0])
			o.rotate(signing.RootEdit{Root: signing.RoleEdit{Drop: []string{drop}, Add: pub(seedKey(14)), Threshold: 2}}, o.holders[1], o.holders[2], seedKey(14))
		},
		func() { tick(); o.grant("alice"); o.post("alice", "by alice") },
		func() { tick(); o.post(m, "three"); o.post("alice", "more by alice") },
		func() { // the thief publishes with the online key
			tick()
			o.post(m, "stolen")
			o.post(m, "stolen too")
		},
		func() { // and is thrown out: another online key, and the log goes back to before
			tick()
			o.heads = seedKey(22)
			good := int64(4) // one, two, the grant, three
			root, err := o.logs[m].RootAt(good)
			o.must(err)
			old := o.newest().Role(signing.RoleTimestamp).Keys[0].ID()
			role := signing.RoleEdit{Drop: []string{old}, Add: pub(o.heads), Threshold: 1}
			o.rotate(signing.RootEdit{Timestamp: role, Targets: role, Base: map[string]signing.Base{m: {Size: good, Root: root}}}, o.holders[1], o.holders[2])
			o.grant("alice") // by the new key
		},
		func() { tick(); o.post(m, "four"); o.post("alice", "the last by alice") },
		func() { tick(); o.grant(); o.post(m, "five") },
	}
}

// keyID returns the name of a key in a role.
func keyID(r signing.Role, key ed25519.PrivateKey) string {
	i := slices.IndexFunc(r.Keys, func(k signing.Key) bool { return k.Ed25519().Equal(key.Public()) })
	return r.Keys[i].ID()
}

// TestLife has one follower who is there the whole time, one who is restarted between any two
// steps, and one who was away from the first step to the last. All end with the same, and
// fresh; nothing of the thief is left.
func TestLife(t *testing.T) {
	w := newWorld(t)
	o := newOwner(t, w)
	origin := w.add(o)
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	always, restarted, away := w.mustFollow(dirs[0], o.id()), w.mustFollow(dirs[1], o.id()), w.mustFollow(dirs[2], o.id())
	for i, step := range life(o) {
		before := map[string]int64{}
		for name, l := range o.logs {
			before[name] = l.Head().Size
		}
		step()
		if i == 0 {
			for _, f := range []*follower{always, restarted, away} {
				w.meet(f.member, origin)
			}
		}
		for name, l := range o.logs {
			if l.Head().Raw != nil {
				o.tell(origin, name, min(before[name], l.Head().Size))
			}
		}
		w.settle(always, restarted)
		if i == 0 {
			w.settle(away)
			o.check("before it goes away", away, signing.MainWriter, signing.StateFresh)
			away.stop()
		}
		o.check(fmt.Sprintf("step %d: always there", i), always, signing.MainWriter, signing.StateFresh)
		o.check(fmt.Sprintf("step %d: restarted", i), restarted, signing.MainWriter, signing.StateFresh)
		if i == 4 && always.Trust().Size(signing.MainWriter) != 6 {
			t.Error("the stolen key signed in vain: the test tests nothing")
		}
		restarted.stop()
		restarted = w.mustFollow(dirs[1], o.id())
		w.meet(restarted.member, origin)
		w.settle(restarted)
	}
	away = w.mustFollow(dirs[2], o.id())
	w.meet(away.member, restarted.member) // whom alone it meets
	w.settle(away, restarted)
	w.meet(away.member, origin) // who has the older entries
	w.settle(away)
	want := []string{"one", "two", "a grant", "three", "a grant", "four", "a grant", "five"}
	for name, f := range map[string]*follower{"always there": always, "restarted": restarted, "away": away} {
		o.check(name, f, signing.MainWriter, signing.StateFresh)
		if got := w.texts(f, signing.MainWriter); !slices.Equal(got, want) {
			t.Errorf("%s reads %q, want %q", name, got, want)
		}
		if f.Trust().Root().Version() != 3 || f.Trust().Targets() == nil || len(f.Trust().Targets().Writers()) != 0 {
			t.Errorf("%s has root %d and targets %v", name, f.Trust().Root().Version(), f.Trust().Targets())
		}
	}
	for name, f := range map[string]*follower{"always there": always, "restarted": restarted} {
		o.check(name, f, "alice", signing.StateWithdrawn) // revoked; what she wrote stays
		if got := w.texts(f, "alice"); !slices.Equal(got, []string{"by alice", "more by alice", "the last by alice"}) {
			t.Errorf("%s reads %q by alice", name, got)
		}
		if gone := f.Trust().Withdrawn(signing.MainWriter); len(gone) != 1 || gone[0] != (signing.Withdrawn{First: 4, Size: 6, Version: 3}) {
			t.Errorf("%s: withdrawn are %+v", name, gone)
		}
		if err := f.Withdrawn(t.Context(), signing.MainWriter, 5, 0); !errors.Is(err, ErrWithdrawn) {
			t.Errorf("%s: the stolen entry: %v", name, err)
		}
		if err := f.takenBack(signing.MainWriter, 5, 3); err != nil {
			t.Errorf("%s: what stands there now is taken for the stolen entry: %v", name, err)
		}
	}
}

// TestLifeCrash crashes a follower at each write of the whole story: the write is lost, or it
// lands and is reported as lost, and what was not synced is lost in one way after the other.
// After the restart the follower holds at least what it had passed on to others, and goes on
// to the same end as if nothing had been.
func TestLifeCrash(t *testing.T) {
	want, _ := liveWithCrash(t, 0, false, crashfs.Keep)
	steps := 0
	for n, crashed := 1, true; crashed; n++ {
		for i, landed := range []bool{false, true} {
			loss := crashfs.Losses[(n+i)%len(crashfs.Losses)]
			var state []byte
			if state, crashed = liveWithCrash(t, n, landed, loss); !bytes.Equal(state, want) {
				t.Fatalf("step %d, landed %v, loss %d: it ended as\n%s\nand without a crash as\n%s", n, landed, loss, state, want)
			}
		}
		steps = n
	}
	if steps < 60 {
		t.Fatalf("only %d steps were interrupted", steps)
	}
}

// liveWithCrash is the story with a crash at the n-th write; 0: none. It returns the state in
// which the follower ends.
func liveWithCrash(t *testing.T, n int, landed bool, loss crashfs.Loss) (state []byte, crashed bool) {
	t.Helper()
	w := newWorld(t)
	o := newOwner(t, w)
	origin := w.add(o)
	files := crashfs.New()
	if n > 0 {
		files.FailAt(n, landed)
	}
	listener, err := w.follow(crashfs.New(), "trust", o.id())
	o.must(err)
	f, err := w.follow(files, "trust", o.id())
	o.must(err)
	join := func() {
		w.meet(f.member, origin)
		w.meet(f.member, listener.member)
	}
	for i, step := range life(o) {
		step()
		if i == 0 {
			join()
		}
		for _, name := range []string{signing.MainWriter, "alice"} {
			if l := o.logs[name]; l != nil && l.Head().Raw != nil {
				o.tell(origin, name, max(0, l.Head().Size-1))
			}
		}
		w.settle(f, listener)
		if files.Crashed() {
			crashed = true
			f.stop()
			pushed, root := f.member.pushed, f.Trust().Root()
			files.Restart(loss)
			if f, err = w.follow(files, "trust", o.id()); err != nil {
				t.Fatalf("step %d, landed %v, loss %d: %v", n, landed, loss, err)
			}
			if root != nil && (f.Trust().Root() == nil || f.Trust().Root().Version() < root.Version()) {
				t.Fatalf("step %d, landed %v, loss %d: the root document is an older one", n, landed, loss)
			}
			for name, size := range pushed {
				if len(f.Trust().Withdrawn(name)) == 0 && f.Trust().Size(name) < size {
					t.Fatalf("step %d, landed %v, loss %d: %d entries of %s were passed on, and only %d are left", n, landed, loss, size, name, f.Trust().Size(name))
				}
			}
			join()
			w.settle(f, listener)
		}
	}
	o.check("in the end", f, signing.MainWriter, signing.StateFresh)
	// How many entries are kept beside the range depends on when they came.
	first, _ := f.Trust().Held(signing.MainWriter)
	return fmt.Appendf(nil, "%x %x root %d targets %d alice %d from %v", f.Trust().Head(signing.MainWriter).Raw, f.Trust().Head("alice").Root,
		f.Trust().Root().Version(), f.Trust().Targets().Version(), f.Trust().Size("alice"), first < 8), crashed
}

// TestTwoHistories lets two followers meet who were shown two histories, of the same length
// and of different ones. Both say forked, both hold proof that stands without them, and a
// third who meets one of them says so as well, until a new root document takes the log back.
func TestTwoHistories(t *testing.T) {
	for _, more := range []int{0, 1, 5} {
		w := newWorld(t)
		one := newOwner(t, w)
		other := newOwner(t, w)
		for _, o := range []*owner{one, other} {
			o.post(signing.MainWriter, "the same")
		}
		one.post(signing.MainWriter, "what one shows")
		other.post(signing.MainWriter, "what the other shows")
		for range more {
			other.post(signing.MainWriter, "more")
		}
		dir := t.TempDir()
		a, b, c := w.mustFollow(t.TempDir(), one.id()), w.mustFollow(dir, one.id()), w.mustFollow(t.TempDir(), one.id())
		first, second := w.add(one), w.add(other)
		w.meet(a.member, first)
		w.meet(b.member, second)
		w.settle(a, b)
		one.check("a before", a, signing.MainWriter, signing.StateFresh)
		other.check("b before", b, signing.MainWriter, signing.StateFresh)
		w.part(first)
		w.part(second)
		w.meet(a.member, b.member)
		w.settle(a, b)
		w.meet(b.member, c.member)
		w.settle(c)
		for name, f := range map[string]*follower{"a": a, "b": b, "c": c, "b after a restart": w.mustFollow(dir, one.id())} {
			e, ok := f.Trust().Evidence(signing.MainWriter)
			if !ok || f.Standing(signing.MainWriter).State != signing.StateForked {
				t.Errorf("%d more: %s says %s", more, name, f.Standing(signing.MainWriter))
				continue
			}
			parsed, err := signing.ParseEvidence(e.Bytes())
			one.must(err)
			x, y, err := parsed.Verify()
			if err != nil || parsed.ID != one.id() || x.Size != 2 || y.Size != int64(2+more) {
				t.Errorf("%d more: the evidence of %s: %d and %d entries, %v", more, name, x.Size, y.Size, err)
			}
			if _, err := f.Find(t.Context(), signing.MainWriter, 0); !errors.Is(err, signing.ErrFork) {
				t.Errorf("%d more: %s finds an entry all the same: %v", more, name, err)
			}
		}
		repair(t, w, one, first, a, b, c)
	}
}

// repair takes the log back, with another key for heads.
func repair(t *testing.T, w *world, o *owner, at *member, all ...*follower) {
	t.Helper()
	root, err := o.logs[signing.MainWriter].RootAt(1)
	o.must(err)
	w.now = w.now.Add(time.Minute)
	old := o.newest().Role(signing.RoleTimestamp).Keys[0].ID()
	o.heads = seedKey(23)
	o.rotate(signing.RootEdit{Timestamp: signing.RoleEdit{Drop: []string{old}, Add: pub(o.heads), Threshold: 1},
		Base: map[string]signing.Base{signing.MainWriter: {Size: 1, Root: root}}}, o.holders[0], o.holders[2])
	o.post(signing.MainWriter, "after the repair")
	w.meet(all[0].member, at)
	w.settle(all...)
	for i, f := range all {
		o.check(fmt.Sprint("repaired ", i), f, signing.MainWriter, signing.StateFresh)
	}
	if got := w.texts(all[0], signing.MainWriter); !slices.Equal(got, []string{"the same", "after the repair"}) {
		t.Errorf("after the repair it reads %q", got)
	}
}

// TestFirstContact: of what three sources show the largest is taken, not the first; with
// fewer sources three seconds pass first; and one source cannot pose as three.
func TestFirstContact(t *testing.T) {
	w := newWorld(t)
	o := newOwner(t, w)
	old := w.add(nil)
	o.post(signing.MainWriter, "one")
	frozen := *o
	frozen.logs = map[string]*signing.Log{signing.MainWriter: o.copyLog(o.logs[signing.MainWriter], 1)}
	frozen.sign(signing.MainWriter)
	old.source = &frozen
	for range 4 {
		o.post(signing.MainWriter, "more")
	}
	f := w.mustFollow(t.TempDir(), o.id())
	w.meet(f.member, old)
	w.run()
	for range 3 {
		f.member.AskUpdate(old.number, signing.MainWriter, 0)
	}
	w.run()
	if f.Trust().Head(signing.MainWriter).Raw != nil {
		t.Fatal("one source is believed at once")
	}
	w.meet(f.member, w.add(o))
	w.run()
	if f.Trust().Head(signing.MainWriter).Raw != nil {
		t.Fatal("two sources are believed at once")
	}
	w.meet(f.member, w.add(&frozen))
	w.run()
	if got := f.Trust().Size(signing.MainWriter); got != 5 {
		t.Fatalf("of 1, 5 and 1 entries %d are believed", got)
	}
	if s := f.Standing(signing.MainWriter); s.Sources != 3 || s.Asked != 3 || s.Install(3) != nil || s.Install(4) == nil {
		t.Errorf("it stands as %s", s)
	}

	alone := w.mustFollow(t.TempDir(), o.id())
	w.meet(alone.member, old)
	w.run()
	if len(alone.timers) != 1 || alone.Trust().Head(signing.MainWriter).Raw != nil {
		t.Fatalf("alone with one source: %d timers", len(alone.timers))
	}
	w.settle(alone)
	if s := alone.Standing(signing.MainWriter); alone.Trust().Size(signing.MainWriter) != 1 || s.Sources != 1 || s.Install(2) == nil {
		t.Errorf("after three seconds with one source: %s", s)
	}
}

// TestDisorder lets followers, some of whom meet only each other, hear in any order, with
// losses and repetitions. In the end all have the same.
func TestDisorder(t *testing.T) {
	for seed := range uint64(12) {
		w := newWorld(t)
		o := newOwner(t, w)
		origin := w.add(o)
		w.rand, w.lose, w.twice = rand.New(rand.NewPCG(seed, 1)), 0.2, 0.2
		all := make([]*follower, 4)
		for i := range all {
			all[i] = w.mustFollow(t.TempDir(), o.id())
		}
		for i, step := range life(o) {
			step()
			if i == 0 {
				w.meet(all[0].member, origin)
				for i := range all[1:] {
					w.meet(all[i].member, all[i+1].member) // a chain
				}
			}
			for name, l := range o.logs {
				if l.Head().Raw != nil {
					o.tell(origin, name, w.rand.Int64N(l.Head().Size+1))
				}
			}
			w.run()
		}
		w.lose = 0
		for _, f := range all {
			f.elapse()
		}
		w.run()
		for i := range all { // what was lost is asked for when they meet again
			w.part(all[i].member)
		}
		w.meet(all[0].member, origin)
		for i := range all[1:] {
			w.meet(all[i].member, all[i+1].member)
		}
		for range all { // one after the other hears of it, and listens first
			w.settle(all...)
		}
		for i, f := range all {
			o.check(fmt.Sprintf("seed %d, follower %d", seed, i), f, signing.MainWriter, signing.StateFresh)
			if f.Trust().Root().Version() != 3 || f.Trust().Targets() == nil {
				t.Errorf("seed %d, follower %d: root %d, targets %v", seed, i, f.Trust().Root().Version(), f.Trust().Targets())
			}
		}
	}
}

// TestProve makes proofs of entries that are held, and of some that a page must bring.
func TestProve(t *testing.T) {
	w := newWorld(t)
	o := newOwner(t, w)
	for i := range 300 {
		o.post(signing.MainWriter, fmt.Sprint(i, " ", string(bytes.Repeat([]byte{'x'}, 400))))
	}
	f := w.mustFollow(t.TempDir(), o.id())
	w.meet(f.member, w.add(o))
	w.settle(f)
	first, _ := f.Trust().Held(signing.MainWriter)
	if first == 0 {
		t.Fatal("all is held: the test tests nothing")
	}
	for _, index := range []int64{0, 17, 299} {
		if _, err := f.prove(signing.MainWriter, index); index == 0 && !errors.Is(err, errNotYet) {
			t.Errorf("entry %d: %v", index, err)
		}
		w.settle(f)
		p, err := f.Prove(t.Context(), signing.MainWriter, index)
		o.must(err)
		parsed, err := signing.ParseProof(p.Bytes())
		o.must(err)
		if _, h, err := parsed.Verify(); err != nil || h.Size != 300 || parsed.Index != index {
			t.Errorf("entry %d: %v", index, err)
		}
	}
}
