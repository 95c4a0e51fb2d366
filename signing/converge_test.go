package signing

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestDocumentsConverge lets a channel rotate keys, take logs back, grant and drop
// writers, while followers receive any document and any update of its whole life in any
// order, with restarts in between. What a follower holds it can always read again; it
// never goes back to an older root document; and in the end everybody who asks for what
// is missing has the channel as it is.
func TestDocumentsConverge(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := newLife(t, r)
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			c.step(r)
		}
		for i := range c.followers {
			c.catchUp(r, i)
		}
	})
}

// life is a channel with all it ever published.
type life struct {
	t         *testing.T
	roots     []*Root
	heads     ed25519.PrivateKey // of the main writer, now
	grants    ed25519.PrivateKey // of the role targets, now
	alice     ed25519.PrivateKey
	keys      int
	main      *Log
	own       *Log // of alice
	targets   []*Targets
	granted   int64 // index of the newest grant, -1: none
	now       time.Time
	mails     []mail
	followers []*Trusted
}

// mail is an update that was once sent.
type mail struct {
	writer string
	u      Update
}

func newLife(t *testing.T, r *rapid.T) *life {
	c := &life{t: t, heads: onlineKey, grants: onlineKey, alice: seedKey(61), granted: -1, now: testTime}
	root := testRoot(t)
	c.roots = []*Root{root}
	c.main, c.own = otherLog(t, root, MainWriter), otherLog(t, root, "alice")
	for range 2 {
		c.followers = append(c.followers, follower(t, root))
	}
	c.post(r)
	return c
}

func (c *life) newest() *Root { return c.roots[len(c.roots)-1] }

func (c *life) key() ed25519.PrivateKey {
	c.keys++
	return namedKey(fmt.Sprint("life ", c.keys))
}

func (c *life) must(r *rapid.T, err error) {
	if err != nil {
		r.Fatal(err)
	}
}

// shortened is a new log that begins like l.
func (c *life) shortened(r *rapid.T, l *Log, size int64) *Log {
	n := otherLog(c.t, c.roots[0], l.writer)
	for i := range size {
		e, err := l.Entry(i)
		c.must(r, err)
		_, err = n.Append(e)
		c.must(r, err)
	}
	return n
}

// publish signs a log and keeps what it sends to somebody of any size.
func (c *life) publish(r *rapid.T, l *Log, key ed25519.PrivateKey) {
	c.now = c.now.Add(time.Second)
	_, err := l.SignHead(key, c.now)
	c.must(r, err)
	size := rapid.Int64Range(0, l.Size()).Draw(r, "as if at")
	c.mails = append(c.mails, mail{l.writer, updateFor(c.t, l, size)}, mail{l.writer, updateFor(c.t, l, 0)})
}

func (c *life) post(r *rapid.T) {
	for range rapid.IntRange(1, 3).Draw(r, "posts") {
		text := fmt.Sprint("post at ", c.now.Unix())
		_, err := c.main.Append([]byte(fmt.Sprintf("d1:^d1:gi%dee1:x%d:%s1:y4:poste", c.granted+1, len(text), text)))
		c.must(r, err)
	}
	c.publish(r, c.main, c.heads)
}

func (c *life) postAlice(r *rapid.T) {
	_, err := c.own.Append(post(fmt.Sprint("alice at ", c.now.Unix())))
	c.must(r, err)
	c.publish(r, c.own, c.alice)
}

// rotate makes a root document with new keys, perhaps with a base.
func (c *life) rotate(r *rapid.T) {
	e := RootEdit{}
	drop := func(k ed25519.PrivateKey) []string { return []string{keyID(c.t, k)} }
	back := rapid.Bool().Draw(r, "back")
	if back || rapid.Bool().Draw(r, "head key") {
		k := c.key()
		e.Timestamp, c.heads = RoleEdit{Drop: drop(c.heads), Add: oneKey(k).Keys}, k
	}
	regrant := rapid.Bool().Draw(r, "targets key")
	if regrant {
		k := c.key()
		e.Targets, c.grants = RoleEdit{Drop: drop(c.grants), Add: oneKey(k).Keys}, k
	}
	if back {
		size := rapid.Int64Range(0, c.main.Size()).Draw(r, "base")
		e.Base = map[string]Base{MainWriter: {Size: size, Root: rootAt(c.t, c.main, size)}}
		c.main = c.shortened(r, c.main, size)
		regrant = regrant || c.granted >= size
		if c.granted >= size {
			c.granted = -1
		}
	}
	next, err := c.newest().Edit(e)
	c.must(r, err)
	c.must(r, next.Sign(rootKey))
	c.roots = append(c.roots, next)
	if regrant && len(c.targets) > 0 {
		c.grant(r)
	}
	c.post(r)
}

// grant makes a targets document, with or without alice, perhaps with another key of
// hers and a base.
func (c *life) grant(r *rapid.T) {
	p := TargetsParams{Expires: testExpiry}
	if len(c.targets) > 0 {
		p.Before = c.targets[len(c.targets)-1]
	}
	if rapid.IntRange(0, 3).Draw(r, "alice") > 0 {
		if rapid.Bool().Draw(r, "her key") {
			c.alice = c.key()
			if rapid.Bool().Draw(r, "her log goes back") {
				size := rapid.Int64Range(0, c.own.Size()).Draw(r, "her base")
				p.Base = map[string]Base{"alice": {Size: size, Root: rootAt(c.t, c.own, size)}}
				c.own = c.shortened(r, c.own, size)
			}
		}
		p.Writers = []WriterParams{{Name: "alice", Role: oneKey(c.alice)}, {Name: "bert", Role: oneKey(seedKey(63))}}
	}
	doc, err := NewTargets(p)
	c.must(r, err)
	c.must(r, doc.Sign(c.grants))
	c.targets = append(c.targets, doc)
	c.granted, err = c.main.Append(GrantEntry(doc, 1, c.newest().Version(), c.granted))
	c.must(r, err)
	c.publish(r, c.main, c.heads)
}

func (c *life) step(r *rapid.T) {
	switch rapid.IntRange(0, 11).Draw(r, "event") {
	case 0:
		c.rotate(r)
	case 1:
		c.grant(r)
	case 2:
		c.post(r)
	case 3:
		c.postAlice(r)
	default:
		i := rapid.IntRange(0, len(c.followers)-1).Draw(r, "follower")
		f := c.followers[i]
		version, size := f.Root().Version(), f.Size(MainWriter)
		c.deliver(r, f)
		if got := f.Root().Version(); got < version || f.Size(MainWriter) < size && got == version {
			r.Fatalf("follower %d falls from version %d, %d entries to version %d, %d entries", i, version, size, got, f.Size(MainWriter))
		}
		c.followers[i] = restart(r, f)
	}
}

// deliver brings anything that was ever sent.
func (c *life) deliver(r *rapid.T, f *Trusted) {
	before := string(f.Bytes())
	var err error
	changed := true
	switch rapid.IntRange(0, 3).Draw(r, "kind") {
	case 0:
		err = f.UpdateRoot(c.roots[rapid.IntRange(0, len(c.roots)-1).Draw(r, "root")].Bytes())
	case 1:
		if len(c.targets) == 0 {
			return
		}
		err = f.UpdateTargets(c.targets[rapid.IntRange(0, len(c.targets)-1).Draw(r, "targets")].Bytes())
	default:
		m := c.mails[rapid.IntRange(0, len(c.mails)-1).Draw(r, "mail")]
		var acc Accepted
		acc, err = f.UpdateHead(m.writer, m.u, c.now)
		changed = acc.Changed || errors.Is(err, ErrFork)
	}
	if (err != nil || !changed) && !errors.Is(err, ErrFork) && before != string(f.Bytes()) {
		r.Fatalf("the state changed unsaid: %v", err)
	}
}

// catchUp brings a follower all that it asks for.
func (c *life) catchUp(r *rapid.T, i int) {
	f := c.followers[i]
	for _, root := range c.roots {
		if root.Version() > f.Root().Version() {
			c.must(r, f.UpdateRoot(root.Bytes()))
		}
	}
	c.follow(r, f, c.main, c.heads)
	for range 3 {
		f = restart(r, f)
		w := f.Wants()
		if w.Grant > 0 {
			p, err := c.main.Page(w.Grant-1, 1, c.main.Head().Size)
			c.must(r, err)
			c.must(r, f.UpdateGrant(p))
		}
		if w.Targets != [32]byte{} {
			for _, doc := range c.targets {
				if doc.Hash() == w.Targets {
					c.must(r, f.UpdateTargets(doc.Bytes()))
				}
			}
		}
	}
	if f.State(MainWriter, c.now) != StateFresh {
		r.Fatalf("follower %d: the main writer is %s", i, f.State(MainWriter, c.now))
	}
	if c.granted < 0 {
		return
	}
	last := c.targets[len(c.targets)-1]
	if f.Targets() == nil || f.Targets().Version() != last.Version() {
		r.Fatalf("follower %d lacks the targets document of version %d: %+v", i, last.Version(), f.Wants())
	}
	if _, err := last.Writer("alice"); err == nil {
		if c.own.Size() == 0 {
			c.postAlice(r)
		}
		c.follow(r, f, c.own, c.alice)
	} else if f.Size("alice") > 0 && !f.Closed("alice") {
		r.Fatalf("follower %d: alice goes on", i)
	}
	restart(r, f)
}

// follow brings a follower to the end of a log, with whatever ranges that takes.
func (c *life) follow(r *rapid.T, f *Trusted, l *Log, key ed25519.PrivateKey) {
	c.publish(r, l, key)
	var err error
	for range 4 {
		var acc Accepted
		u := updateFor(c.t, l, min(f.Size(l.writer), l.Size()))
		if acc, err = f.UpdateHead(l.writer, u, c.now); err == nil && acc.Needs.Range {
			rng, rerr := l.Range(0, acc.Needs.Size)
			c.must(r, rerr)
			acc, err = f.UpdateRange(l.writer, u, rng, c.now)
		}
		if err != nil {
			r.Fatalf("writer %s: %v", l.writer, err)
		}
		if f.Head(l.writer).Raw != nil && f.Size(l.writer) == l.Size() && !acc.Needs.Update {
			break
		}
	}
	if h := f.Head(l.writer); h.Size != l.Size() || h.Root != rootAt(c.t, l, l.Size()) {
		r.Fatalf("writer %s: %d entries of %d", l.writer, h.Size, l.Size())
	}
}
