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
func (t *Trusted) Bytes() []byte {
	m := []pair{{"id", bencode.AppendString(nil, t.id[:])}, {"v", bencode.AppendInt(nil, stateVersion)}}
	if t.grant.at > 0 {
		m = append(m, pair{"grant", appendDict(nil, []pair{
			{"a", bencode.AppendInt(nil, t.grant.at)}, {"h", bencode.AppendString(nil, t.grant.hash[:])}, {"v", bencode.AppendInt(nil, t.grant.version)},
		})})
	}
	if len(t.past) > 0 {
		var docs [][]byte
		for _, d := range t.past {
			docs = append(docs, d.raw)
		}
		m = append(m, pair{"past", appendList(nil, docs)})
	}
	if len(t.roots) > 0 {
		var docs [][]byte
		for _, r := range t.roots {
			docs = append(docs, r.raw)
		}
		m = append(m, pair{"roots", appendList(nil, docs)})
	}
	if t.targets != nil {
		m = append(m, pair{"targets", bencode.AppendString(nil, t.targets.raw)})
	}
	if t.wanted > 0 {
		m = append(m, pair{"want", bencode.AppendInt(nil, t.wanted)})
	}
	var writers []pair
	for _, name := range t.names() {
		writers = append(writers, pair{name, t.writers[name].bytes()})
	}
	if len(writers) > 0 {
		m = append(m, pair{"writers", appendDict(nil, writers)})
	}
	return appendDict(nil, m)
}

func (w *followed) bytes() []byte {
	var m []pair
	if w.head.Raw != nil {
		m = append(m, pair{"c", bencode.AppendString(nil, w.head.Raw)})
	}
	if len(w.entries) > 0 {
		m = append(m, pair{"e", appendList(nil, w.entries)})
	}
	if len(w.before) > 0 {
		m = append(m, pair{"f", appendHashes(nil, w.before)})
	}
	if w.next > 0 {
		m = append(m, pair{"next", bencode.AppendInt(nil, w.next)})
	}
	if w.fork != nil {
		m = append(m, pair{"x", w.fork.Bytes()})
	}
	if w.base != nil {
		m = append(m, pair{"b", w.base.bytes()})
	}
	if len(w.withdrawn) > 0 {
		list := []byte{'l'}
		for _, g := range w.withdrawn {
			list = bencode.AppendInt(bencode.AppendInt(bencode.AppendInt(list, g.First), g.Size), g.Version)
		}
		m = append(m, pair{"gone", append(list, 'e')})
	}
	for key, set := range map[string]bool{"open": w.rangeless, "shut": w.closed} {
		if set {
			m = append(m, pair{key, bencode.AppendInt(nil, 1)})
		}
	}
	if !w.since.IsZero() {
		m = append(m, pair{"since", bencode.AppendInt(nil, w.since.Unix())})
	}
	return appendDict(nil, m)
}

func (b *Base) bytes() []byte {
	m := []pair{{"root", bencode.AppendString(nil, b.Root[:])}, {"size", bencode.AppendInt(nil, b.Size)}}
	if b.Again > 0 {
		m = append(m, pair{"again", bencode.AppendInt(nil, b.Again)})
	}
	return appendDict(nil, m)
}
