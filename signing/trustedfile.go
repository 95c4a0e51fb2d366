package signing

import "handful/manifest/bencode"

const (
	stateVersion = 1
	// MaxState is the largest state of one channel in bytes.
	MaxState    = 128 << 20
	maxRoots    = 16 << 20 // bytes of root documents in a state
	maxWriters  = 256      // of which a state holds heads, entries and at most one document aside each
	maxWithdraw = 1 << 12  // runs of withdrawn entries of a writer that a state remembers
)

// Bytes encodes the state:
//
//	d 5:grant d 1:a i<index+1>e 1:h 32:<SHA-256> 1:v i<version>e e 2:id <25> 4:past l <targets documents> e
//	  5:roots l <root 1> <root 2> … e 7:targets <document> 1:v i1e 4:want i<index+1>e 7:writers d <writer> d
//	  1:b d 5:again i<n>e 4:root 32:<hash> 4:size i<n>e e 1:c <head> 1:e l <entries> e 1:f <hashes> 4:gone l i<n>e i<n>e i<n>e … e
//	  4:next i<n>e 4:open i1e 4:shut i1e 5:since i<Unix s>e 1:x <fork> e e e
//
// What is empty or zero is left out, but for id and v, and for size within b. Of the
// members of a writer, b is the base that was applied last, gone has First, Size and
// Version of what was withdrawn, open tells that the range of the base is missing, shut
// that the writer is closed, since that no head signed until then is taken.
func (t *Trusted) Bytes() []byte { return t.AppendBytes(nil) }

// AppendBytes appends what Bytes returns to b: it is written at every update, so whoever
// writes it keeps the room.
func (t *Trusted) AppendBytes(b []byte) []byte {
	b = append(b, 'd') // the keys stand in their order
	if t.grant.at > 0 {
		b = bencode.AppendString(b, "grant")
		b = appendDict(b, []pair{
			{"a", bencode.AppendInt(nil, t.grant.at)}, {"h", bencode.AppendString(nil, t.grant.hash[:])}, {"v", bencode.AppendInt(nil, t.grant.version)},
		})
	}
	b = bencode.AppendString(bencode.AppendString(b, "id"), t.id[:])
	if len(t.past) > 0 {
		b = appendRaw(bencode.AppendString(b, "past"), t.past, (*Targets).Bytes)
	}
	if len(t.roots) > 0 {
		b = appendRaw(bencode.AppendString(b, "roots"), t.roots, (*Root).Bytes)
	}
	if t.targets != nil {
		b = bencode.AppendString(bencode.AppendString(b, "targets"), t.targets.raw)
	}
	b = bencode.AppendInt(bencode.AppendString(b, "v"), stateVersion)
	if t.wanted > 0 {
		b = bencode.AppendInt(bencode.AppendString(b, "want"), t.wanted)
	}
	if len(t.writers) > 0 {
		b = append(bencode.AppendString(b, "writers"), 'd')
		for _, name := range t.names() {
			b = t.writers[name].append(bencode.AppendString(b, name))
		}
		b = append(b, 'e')
	}
	return append(b, 'e')
}

// appendRaw appends documents as a list.
func appendRaw[T any](b []byte, documents []T, raw func(T) []byte) []byte {
	b = append(b, 'l')
	for _, d := range documents {
		b = bencode.AppendString(b, raw(d))
	}
	return append(b, 'e')
}

func (w *followed) append(b []byte) []byte {
	b = append(b, 'd') // the keys stand in their order
	if w.base != nil {
		b = append(bencode.AppendString(b, "b"), w.base.bytes()...)
	}
	if w.head.Raw != nil {
		b = bencode.AppendString(bencode.AppendString(b, "c"), w.head.Raw)
	}
	if len(w.entries) > 0 {
		b = appendList(bencode.AppendString(b, "e"), w.entries)
	}
	if len(w.before) > 0 {
		b = appendHashes(bencode.AppendString(b, "f"), w.before)
	}
	if len(w.withdrawn) > 0 {
		b = append(bencode.AppendString(b, "gone"), 'l')
		for _, g := range w.withdrawn {
			b = bencode.AppendInt(bencode.AppendInt(bencode.AppendInt(b, g.First), g.Size), g.Version)
		}
		b = append(b, 'e')
	}
	if w.next > 0 {
		b = bencode.AppendInt(bencode.AppendString(b, "next"), w.next)
	}
	for _, f := range []struct {
		key string
		set bool
	}{{"open", w.rangeless}, {"shut", w.closed}} {
		if f.set {
			b = bencode.AppendInt(bencode.AppendString(b, f.key), 1)
		}
	}
	if !w.since.IsZero() {
		b = bencode.AppendInt(bencode.AppendString(b, "since"), w.since.Unix())
	}
	if w.fork != nil {
		b = append(bencode.AppendString(b, "x"), w.fork.Bytes()...)
	}
	return append(b, 'e')
}

func (b *Base) bytes() []byte {
	m := []pair{{"root", bencode.AppendString(nil, b.Root[:])}, {"size", bencode.AppendInt(nil, b.Size)}}
	if b.Again > 0 {
		m = append(m, pair{"again", bencode.AppendInt(nil, b.Again)})
	}
	return appendDict(nil, m)
}
