package signing

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestFollowEverySize brings followers of every size to every larger size, over the
// wire format and with a restart in between.
func TestFollowEverySize(t *testing.T) {
	root := testRoot(t)
	for from := range 20 {
		for to := from; to < 34; to++ {
			l := testLog(t, root, testTime, numbered(from)...)
			f := follower(t, root)
			if _, err := f.UpdateHead(MainWriter, updateFor(t, l, 0), testTime); err != nil {
				t.Fatalf("%d: %v", from, err)
			}
			f = restart(t, f)
			for _, text := range numbered(to)[from:] {
				if _, err := l.Append(post(text)); err != nil {
					t.Fatal(err)
				}
			}
			signLog(t, l, testTime.Add(time.Second))
			acc, err := f.UpdateHead(MainWriter, updateFor(t, l, int64(from)), testTime)
			if err != nil || !acc.Changed || f.Size(MainWriter) != int64(to) || len(acc.Entries) != to-from {
				t.Fatalf("%d to %d: %+v, %v", from, to, acc, err)
			}
			if to > from && acc.First != int64(from) {
				t.Fatalf("%d to %d: the first new entry is %d", from, to, acc.First)
			}
			restart(t, f)
		}
	}
}

// TestOverlap delivers updates that carry more than is missing: only what is new comes
// out.
func TestOverlap(t *testing.T) {
	root := testRoot(t)
	l := testLog(t, root, testTime, numbered(6)...)
	f := follower(t, root)
	small, err := l.UpdateWithin(0, 500) // hashes, and the last entries alone
	if err != nil {
		t.Fatal(err)
	}
	acc, err := f.UpdateHead(MainWriter, small, testTime)
	if err != nil || acc.First == 0 || len(acc.Entries) != int(6-acc.First) {
		t.Fatalf("a small update: from %d on %d entries, %v", acc.First, len(acc.Entries), err)
	}
	for _, text := range []string{"seven", "eight"} {
		if _, err := l.Append(post(text)); err != nil {
			t.Fatal(err)
		}
	}
	signLog(t, l, testTime)
	acc, err = f.UpdateHead(MainWriter, updateFor(t, l, 0), testTime)
	if err != nil || acc.First != 6 || len(acc.Entries) != 2 || string(acc.Entries[0]) != string(post("seven")) {
		t.Fatalf("a large update: from %d on %q, %v", acc.First, acc.Entries, err)
	}
	if first, held := restart(t, f).Held(MainWriter); first != 0 || len(held) != 8 {
		t.Fatalf("held from %d on: %d", first, len(held))
	}
}

// TestTrim follows a log whose entries are large: the state keeps no more of them than
// one update carries, and hands on what it keeps.
func TestTrim(t *testing.T) {
	root := testRoot(t)
	l := testLog(t, root, testTime)
	f := follower(t, root)
	for i := range 12 {
		if _, err := l.Append(post(strings.Repeat(string(rune('a'+i)), 10_000))); err != nil {
			t.Fatal(err)
		}
		signLog(t, l, testTime)
		if _, err := f.UpdateHead(MainWriter, updateFor(t, l, int64(i)), testTime); err != nil {
			t.Fatal(err)
		}
		f = restart(t, f)
	}
	first, held := f.Held(MainWriter)
	if first != 7 || len(held) != 5 {
		t.Fatalf("%d entries are held from %d on", len(held), first)
	}
	if f.Next(MainWriter) != 0 {
		t.Errorf("handed on up to %d without being told", f.Next(MainWriter))
	}
	// 7 = 4+2+1: what is kept of the rest are three hashes, so the sizes 0, 4, 6 and 7 to
	// 12 can be served, and no other.
	for size := range int64(14) {
		u, ok := f.UpdateFor(MainWriter, size)
		if want := size == 0 || size == 4 || size >= 6 && size <= 12; ok != want {
			t.Errorf("somebody of %d entries: %v", size, ok)
		}
		if !ok {
			continue
		}
		other := follower(t, root)
		if size > 0 {
			short := testLog(t, root, testTime)
			for i := range size {
				e, err := l.Entry(i)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := short.Append(e); err != nil {
					t.Fatal(err)
				}
			}
			short.head = Head{}
			signLog(t, short, testTime)
			if _, err := other.UpdateHead(MainWriter, updateFor(t, short, 0), testTime); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := other.UpdateHead(MainWriter, u, testTime); err != nil || other.Size(MainWriter) != 12 {
			t.Errorf("somebody of %d entries is not helped: %v", size, err)
		}
	}
	for i := range int64(12) {
		p, ok := f.Page(MainWriter, i, 2)
		if want := i >= 7; ok != want {
			t.Errorf("page of %d: %v", i, ok)
		} else if ok && f.VerifyPage(MainWriter, p) != nil {
			t.Errorf("page of %d does not verify", i)
		}
	}
}

// TestLargestUpdate fills the update with one entry of the largest size.
func TestLargestUpdate(t *testing.T) {
	root := testRoot(t)
	l := testLog(t, root, testTime, numbered(1023)...)
	large := post(strings.Repeat("x", MaxEntry-len(post(""))-4))
	if len(large) != MaxEntry {
		t.Fatalf("%d bytes", len(large))
	}
	if _, err := l.Append(large); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(append(large[:len(large):len(large)], 'e')); !errors.Is(err, ErrMalformed) {
		t.Fatalf("an entry that is too large: %v", err)
	}
	signLog(t, l, testTime)
	f := follower(t, root)
	u := updateFor(t, l, 0)
	acc, err := f.UpdateHead(MainWriter, u, testTime)
	if err != nil || len(u.Bytes()) > MaxUpdate || len(acc.Entries) == 0 {
		t.Fatalf("%d bytes, %d entries: %v", len(u.Bytes()), len(acc.Entries), err)
	}
	p, err := l.Page(1023, 1, 1024)
	if err != nil || len(p.Bytes()) > MaxUpdate || f.VerifyPage(MainWriter, p) != nil {
		t.Fatalf("a page of %d bytes: %v", len(p.Bytes()), err)
	}
	restart(t, f)
}

// TestHandedOn never goes back, nor beyond what is proven.
func TestHandedOn(t *testing.T) {
	root := testRoot(t)
	f := follower(t, root)
	f.HandedOn(MainWriter, 1)
	if _, err := f.UpdateHead(MainWriter, updateFor(t, testLog(t, root, testTime, numbered(5)...), 0), testTime); err != nil {
		t.Fatal(err)
	}
	for _, step := range [][2]int64{{0, 0}, {3, 3}, {2, 3}, {9, 5}} {
		f.HandedOn(MainWriter, step[0])
		if got := restart(t, f).Next(MainWriter); got != step[1] {
			t.Errorf("handed on up to %d: next is %d, want %d", step[0], got, step[1])
		}
	}
}

// TestStateIsVerified changes a state in ways that keep its form.
func TestStateIsVerified(t *testing.T) {
	root := testRoot(t)
	f := follower(t, root)
	if _, err := f.UpdateHead(MainWriter, updateFor(t, testLog(t, root, testTime, numbered(5)...), 0), testTime); err != nil {
		t.Fatal(err)
	}
	f.HandedOn(MainWriter, 5)
	for name, change := range map[string][2]string{
		"entry":          {"6:post 3", "6:post 4"},
		"handed on":      {"4:nexti5e", "4:nexti6e"},
		"newer version":  {"1:vi1e", "1:vi2e"},
		"unknown key":    {"1:vi1e", "1:vi1e1:wi1e"},
		"unknown writer": {"7:writersd1:m", "7:writersd1:n"},
		"root":           {`"title":"Demo"`, `"title":"demo"`},
		"head":           {"/m\n5\n", "/m\n4\n"},
	} {
		b := strings.Replace(string(f.Bytes()), change[0], change[1], 1)
		if b == string(f.Bytes()) {
			t.Fatalf("%s: nothing to change", name)
		}
		if _, err := ParseTrusted([]byte(b)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestFalseFork brings proofs of forks that never were: nobody is frozen for them.
func TestFalseFork(t *testing.T) {
	root := testRoot(t)
	small, large := testLog(t, root, testTime, numbered(3)...), testLog(t, root, testTime, numbered(5)...)
	seen, err := large.Range(0, 3)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := large.Range(3, 5)
	if err != nil {
		t.Fatal(err)
	}
	other := [][32]byte{{1}, {2}}
	a, b := small.Head().Raw, large.Head().Raw
	later, err := SignHead(root.ID(), MainWriter, 3, small.Head().Root, onlineKey, testTime.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for name, fork := range map[string]Fork{
		"continued":         {A: a, B: b, Seen: seen, Rest: rest},
		"made-up range":     {A: a, B: b, Seen: other, Rest: rest},
		"no range":          {A: a, B: b},
		"larger first":      {A: b, B: a, Seen: seen, Rest: rest},
		"one head":          {A: a, B: a},
		"heartbeat":         {A: a, B: later},
		"one head, a range": {A: a, B: a, Seen: seen},
		"forged head":       {A: a, B: testLog(t, newRoot(t, RootParams{Expires: testExpiry, Root: oneKey(rootKey), Targets: oneKey(onlineKey), Timestamp: oneKey(onlineKey)}, rootKey), testTime, "x").Head().Raw},
	} {
		f := follower(t, root)
		err := f.UpdateFork(MainWriter, fork)
		if err == nil || errors.Is(err, ErrFork) || f.Fork(MainWriter) != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnotherKey gives a granted writer another key, by which first the same tree and then
// a longer one is signed. The state must come back from its bytes each time: the document
// that listed the old key goes with the last head that needs it.
func TestAnotherKey(t *testing.T) {
	for name, more := range map[string][]string{"the same tree": nil, "a longer tree": {"more"}} {
		t.Run(name, func(t *testing.T) {
			f, main, alice := delegatedFollower(t)
			key := seedKey(62)
			doc, err := NewTargets(TargetsParams{Before: f.Targets(), Expires: testExpiry, Writers: []WriterParams{{Name: "alice", Role: oneKey(key)}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := doc.Sign(onlineKey); err != nil {
				t.Fatal(err)
			}
			if _, err := main.Append(GrantEntry(doc, 1, 1, 8)); err != nil {
				t.Fatal(err)
			}
			now := testTime.Add(time.Second)
			signLog(t, main, now)
			if _, err := f.UpdateHead(MainWriter, updateFor(t, main, 9), now); err != nil {
				t.Fatal(err)
			}
			if err := f.UpdateTargets(doc.Bytes()); err != nil {
				t.Fatal(err)
			}
			if f = restart(t, f); len(f.past) != 1 {
				t.Errorf("%d documents aside while alice's head was signed by her old key", len(f.past))
			}
			for _, text := range more {
				if _, err := alice.Append(post(text)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := alice.SignHead(key, now); err != nil {
				t.Fatal(err)
			}
			if acc, err := f.UpdateHead("alice", updateFor(t, alice, f.Size("alice")), now); err != nil || !acc.Changed {
				t.Fatalf("%+v, %v", acc, err)
			}
			if f = restart(t, f); len(f.past) != 0 {
				t.Errorf("%d documents aside that nothing needs", len(f.past))
			}
		})
	}
}
