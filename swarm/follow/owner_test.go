package follow

import (
	"crypto"
	"crypto/ed25519"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/channel"
)

// owner is the publisher of a channel with all its writers: a source.
type owner struct {
	t       testing.TB
	world   *world
	roots   []*signing.Root
	holders []ed25519.PrivateKey // of root keys, the ones that sign the next root
	heads   ed25519.PrivateKey   // of the main writer
	targets []*signing.Targets
	logs    map[string]*signing.Log
	keys    map[string]ed25519.PrivateKey // of delegated writers
	granted int64                         // index + 1
}

// newOwner makes a channel with three holders of root keys, two of whom must sign.
func newOwner(t testing.TB, w *world) *owner {
	t.Helper()
	o := &owner{t: t, world: w, heads: seedKey(2), logs: map[string]*signing.Log{}, keys: map[string]ed25519.PrivateKey{}}
	o.holders = []ed25519.PrivateKey{seedKey(11), seedKey(12), seedKey(13)}
	var public []crypto.PublicKey
	for _, k := range o.holders {
		public = append(public, k.Public())
	}
	online := signing.RoleParams{Keys: []crypto.PublicKey{o.heads.Public()}}
	root, err := signing.NewRoot(signing.RootParams{
		Title: "Demo", Expires: w.now.AddDate(2, 0, 0), Root: signing.RoleParams{Keys: public, Threshold: 2},
		Targets: online, Timestamp: online, MaxAge: map[string]time.Duration{signing.MainWriter: time.Hour},
	})
	o.must(err)
	o.must(root.Sign(o.holders[0]))
	o.must(root.Sign(o.holders[1]))
	o.roots = []*signing.Root{root}
	o.logs[signing.MainWriter] = o.newLog(signing.MainWriter)
	return o
}

func (o *owner) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *owner) id() signing.ID { return o.roots[0].ID() }

func (o *owner) newest() *signing.Root { return o.roots[len(o.roots)-1] }

func (o *owner) newLog(writer string) *signing.Log {
	l, err := signing.NewLog(o.id(), writer, &signing.Memory{}, o.newest().Version())
	o.must(err)
	return l
}

func (o *owner) key(writer string) ed25519.PrivateKey {
	if writer == signing.MainWriter {
		return o.heads
	}
	return o.keys[writer]
}

// post appends a text and signs.
func (o *owner) post(writer, text string) {
	o.t.Helper()
	e := manifest.Post{Title: text, Head: manifest.Header{Time: o.world.now.UnixMilli(), Pointers: manifest.Pointers{Root: o.newest().Version()}}}
	if writer == signing.MainWriter {
		e.Head.Pointers.Grant = o.granted
	}
	o.append(writer, e.Bytes())
}

func (o *owner) append(writer string, entry []byte) {
	o.t.Helper()
	_, err := o.logs[writer].Append(entry)
	o.must(err)
	o.sign(writer)
}

func (o *owner) sign(writer string) {
	o.t.Helper()
	_, err := o.logs[writer].SignHead(o.key(writer), o.world.now)
	o.must(err)
}

// rotate makes the next root document, signed by two of the three holders.
func (o *owner) rotate(e signing.RootEdit, signers ...ed25519.PrivateKey) {
	o.t.Helper()
	next, err := o.newest().Edit(e)
	o.must(err)
	for _, k := range signers {
		o.must(next.Sign(k))
	}
	o.roots = append(o.roots, next)
	// The log that goes on says the new version.
	old := o.logs[signing.MainWriter]
	size := old.Size()
	if b, ok := e.Base[signing.MainWriter]; ok {
		size = b.Size
	}
	o.logs[signing.MainWriter] = o.copyLog(old, size)
	if size > 0 {
		o.sign(signing.MainWriter)
	}
}

// copyLog is a new log that begins like l.
func (o *owner) copyLog(l *signing.Log, size int64) *signing.Log {
	c := o.newLog(signing.MainWriter)
	for i := range size {
		e, err := l.Entry(i)
		o.must(err)
		_, err = c.Append(e)
		o.must(err)
	}
	return c
}

// grant puts a targets document with these writers into force.
func (o *owner) grant(names ...string) {
	o.t.Helper()
	p := signing.TargetsParams{Expires: o.world.now.AddDate(1, 0, 0)}
	if len(o.targets) > 0 {
		p.Before = o.targets[len(o.targets)-1]
	}
	for _, n := range names {
		if o.keys[n] == nil {
			o.keys[n] = seedKey(byte(100 + len(o.keys)))
			o.logs[n] = o.newLog(n)
		}
		p.Writers = append(p.Writers, signing.WriterParams{Name: n, Role: signing.RoleParams{Keys: []crypto.PublicKey{o.keys[n].Public()}}})
	}
	doc, err := signing.NewTargets(p)
	o.must(err)
	o.must(doc.Sign(o.heads))
	o.targets = append(o.targets, doc)
	before := o.granted
	o.granted = o.logs[signing.MainWriter].Size() + 1
	o.append(signing.MainWriter, signing.GrantEntry(doc, o.world.now.UnixMilli(), o.newest().Version(), before))
}

// tell pushes the newest of a writer to all who are connected with a member.
func (o *owner) tell(m *member, writer string, before int64) {
	o.t.Helper()
	u, err := o.logs[writer].UpdateFor(before)
	o.must(err)
	m.Push(writer, u, 0)
}

// The owner's source.
func (o *owner) UpdateFor(writer string, size int64) (signing.Update, bool) {
	l := o.logs[writer]
	if l == nil || l.Head().Raw == nil {
		return signing.Update{}, false
	}
	u, err := l.UpdateFor(size)
	return u, err == nil
}

func (o *owner) UpdateWithin(writer string, size int64, limit int) (signing.Update, bool) {
	l := o.logs[writer]
	if l == nil || l.Head().Raw == nil {
		return signing.Update{}, false
	}
	u, err := l.UpdateWithin(size, limit)
	return u, err == nil
}

func (o *owner) Holds(writer string) (channel.Holding, bool) {
	l := o.logs[writer]
	if l == nil || l.Head().Raw == nil {
		return channel.Holding{}, false
	}
	return channel.Holding{Size: l.Head().Size, Time: l.Head().Time.Unix()}, true
}

func (o *owner) RootBytes(version int64) []byte {
	if version < 1 || version > int64(len(o.roots)) {
		return nil
	}
	return o.roots[version-1].Bytes()
}

func (o *owner) TargetsBytes(hash [32]byte) []byte {
	for _, d := range o.targets {
		if d.Hash() == hash {
			return d.Bytes()
		}
	}
	return nil
}

func (o *owner) Page(writer string, first, count, size int64) (signing.Page, bool) {
	l := o.logs[writer]
	if l == nil {
		return signing.Page{}, false
	}
	p, err := l.Page(first, count, size)
	return p, err == nil
}

func (o *owner) Range(writer string, size int64) ([][32]byte, bool) {
	l := o.logs[writer]
	if l == nil || size > l.Size() {
		return nil, false
	}
	r, err := l.Range(0, size)
	return r, err == nil
}

// check compares what a follower believes of a writer with what the owner published.
func (o *owner) check(name string, f *follower, writer string, want signing.State) {
	o.t.Helper()
	l := o.logs[writer]
	got := f.Trust().Head(writer)
	if got.Size != l.Head().Size || got.Root != l.Head().Root || f.Trust().State(writer, o.world.now) != want {
		o.t.Errorf("%s: writer %s: %d entries, %s; published are %d, want %s", name, writer, got.Size, f.Trust().State(writer, o.world.now), l.Head().Size, want)
	}
}
