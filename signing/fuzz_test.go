package signing

import (
	"bytes"
	"testing"
)

// What a parser accepts it must print back, and nothing may make it panic. Go makes each input
// that finds a new way as short as it can, for a minute, by trying a number of others that grows
// with the square of its length, and counts none of them; documents have a thousand bytes. So:
//
//	go test ./signing -run NONE -fuzz '^FuzzTargetsPayload$' -fuzztime 60s -fuzzminimizetime 10x

func FuzzParseID(f *testing.F) {
	id := testRoot(f).ID().String()
	f.Add(id)
	f.Add(id[:39])
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		if again, err := ParseID(id.String()); err != nil || again != id || !equalFold(s, id.String()) {
			t.Fatalf("%q is read as %q: %v", s, id, err)
		}
	})
}

// equalFold compares ASCII regardless of case, and nothing else so.
func equalFold(a, b string) bool {
	return bytes.Equal(bytes.Map(lower, []byte(a)), bytes.Map(lower, []byte(b)))
}

func lower(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

func FuzzParseLink(f *testing.F) {
	id := testRoot(f).ID().String()
	f.Add("handful:" + id)
	f.Add("handful:" + id + "/alice/7?dn=A%20b&tr=udp://h:1/x&ws=http://[::1]/&pe=h:1&pk=" + base32Lower.EncodeToString(dhtKey[32:]) + "#k=A-1")
	f.Add("x\x1b[31m\u202e<b>.txt")
	f.Fuzz(func(t *testing.T, s string) {
		named := Link{ID: testRoot(t).ID(), Index: -1, Name: s} // a file may be called anything
		if l, err := ParseLink(named.String()); err != nil || l.Name != s && l.Name != "" {
			t.Fatalf("called %q it is printed as %q: %v", s, named, err)
		}
		l, err := ParseLink(s)
		if err != nil {
			return
		}
		again, err := ParseLink(l.String())
		if err != nil || again.String() != l.String() {
			t.Fatalf("%q is printed as %q, which is read as %q: %v", s, l, again, err)
		}
	})
}

func FuzzParseRoot(f *testing.F) {
	f.Add(testRoot(f).Bytes())
	p := testParams()
	p.Version, p.Quorum, p.Witnesses = 2, 1, []Witness{NewWitness("w", public(seedKey(5)))}
	f.Add(newRoot(f, p, rootKey, seedKey(4)).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRoot(b)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Bytes(), b) {
			t.Fatalf("%q is kept as %q", b, r.Bytes())
		}
		if _, err := printDocument(map[string]any(r.signed)); err != nil {
			t.Fatal(err)
		}
		if first, err := FirstRoot(r.ID(), b); err == nil && first.ID() != r.ID() {
			t.Fatal("an id that changes")
		}
	})
}

func FuzzParseHead(f *testing.F) {
	l := testLog(f, testRoot(f), testTime, numbered(3)...)
	f.Add(l.Head().Raw)
	f.Add(bytes.Replace(l.Head().Raw, []byte("\n3\n"), []byte("\n03\n"), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHead(b)
		if err != nil {
			return
		}
		if !bytes.Equal(h.Raw, b) || !bytes.HasPrefix(b, []byte(h.Text()+"\n")) {
			t.Fatalf("%q is read as %q", b, h.Text())
		}
	})
}

func FuzzParseUpdate(f *testing.F) {
	l := testLog(f, testRoot(f), testTime, numbered(300)...)
	f.Add(updateFor(f, l, 0).Bytes())
	f.Add(updateFor(f, l, 299).Bytes())
	f.Add([]byte("d1:c1:x2:ih20:012345678901234567891:zlee"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := ParseUpdate(b); err == nil && !bytes.Equal(u.Bytes(), b) {
			t.Fatalf("%q comes back as %q", b, u.Bytes())
		}
	})
}

// FuzzUpdateHead lets a follower judge anything: what it accepts it can keep.
func FuzzUpdateHead(f *testing.F) {
	root := testRoot(f)
	l := testLog(f, root, testTime, numbered(9)...)
	f.Add(updateFor(f, l, 5).Bytes())
	f.Add(updateFor(f, l, 0).Bytes())
	base := follower(f, root)
	if _, err := base.UpdateHead(MainWriter, updateFor(f, testLog(f, root, testTime, numbered(5)...), 0), testTime); err != nil {
		f.Fatal(err)
	}
	state := base.Bytes()
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := ParseUpdate(b)
		if err != nil {
			return
		}
		trusted, err := ParseTrusted(state)
		if err != nil {
			t.Fatal(err)
		}
		acc, err := trusted.UpdateHead(MainWriter, u, testTime)
		if acc.Changed == bytes.Equal(trusted.Bytes(), state) {
			t.Fatalf("changed is %v: %v", acc.Changed, err)
		}
		restart(t, trusted)
	})
}

func FuzzParsePage(f *testing.F) {
	l := testLog(f, testRoot(f), testTime, numbered(9)...)
	for _, first := range []int64{0, 5} {
		p, err := l.Page(first, 2, 9)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ParsePage(b); err == nil && !bytes.Equal(p.Bytes(), b) {
			t.Fatalf("%q comes back as %q", b, p.Bytes())
		}
	})
}

// forkedFollower holds a fork between logs of 3 and of 5 entries.
func forkedFollower(t testing.TB) *Trusted {
	root := testRoot(t)
	trusted := follower(t, root)
	if _, err := trusted.UpdateHead(MainWriter, updateFor(t, testLog(t, root, testTime, numbered(3)...), 0), testTime); err != nil {
		t.Fatal(err)
	}
	other := testLog(t, root, testTime, append([]string{"other"}, numbered(4)...)...)
	if _, err := trusted.UpdateHead(MainWriter, updateFor(t, other, 0), testTime); err == nil {
		t.Fatal("no fork")
	}
	return trusted
}

func FuzzParseFork(f *testing.F) {
	f.Add(forkedFollower(f).Fork(MainWriter).Bytes())
	root := testRoot(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		fork, err := ParseFork(b)
		if err != nil {
			return
		}
		if !bytes.Equal(fork.Bytes(), b) {
			t.Fatalf("%q comes back as %q", b, fork.Bytes())
		}
		if root.VerifyFork(MainWriter, fork) == nil && bytes.Equal(fork.A, fork.B) {
			t.Fatal("a head forks from itself")
		}
	})
}

func FuzzParseTrusted(f *testing.F) {
	root := testRoot(f)
	f.Add(NewTrusted(root.ID()).Bytes())
	f.Add(forkedFollower(f).Bytes())
	trusted := follower(f, root)
	if _, err := trusted.UpdateHead(MainWriter, updateFor(f, testLog(f, root, testTime, numbered(3000)...), 0), testTime); err != nil {
		f.Fatal(err)
	}
	trusted.HandedOn(MainWriter, 2999)
	f.Add(trusted.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if trusted, err := ParseTrusted(b); err == nil && !bytes.Equal(trusted.Bytes(), b) {
			t.Fatalf("%q comes back as %q", b, trusted.Bytes())
		}
	})
}

func FuzzReadPointers(f *testing.F) {
	for _, e := range vectorEntries() {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readPointers(b)
		if err == nil && (p.root < 0 || p.root >= maxExact || p.grant < 0 || p.grant >= maxExact || p.version < 0 || p.version >= maxExact) {
			t.Fatalf("%+v", p)
		}
	})
}
