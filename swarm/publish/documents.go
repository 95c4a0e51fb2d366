package publish

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"handful/signing"
	"handful/signing/durable"
	"handful/signing/keyfile"
	"handful/swarm/channel"
)

// documents say who may write. All methods are safe for concurrent use.
type documents interface {
	channel() signing.ID
	// newest returns what is in force; nil while it is not known, or there is none.
	newest() (*signing.Root, *signing.Targets)
	rootBytes(version int64) []byte
	targetsBytes(hash [32]byte) []byte
}

// owned are the documents of who grants: they lie beside the keys.
type owned struct {
	id signing.ID

	mu   sync.Mutex
	keys *keyfile.Keys
}

func (o *owned) now() *keyfile.Keys {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.keys
}

func (o *owned) set(k *keyfile.Keys) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keys = k
}

func (o *owned) channel() signing.ID { return o.id }

func (o *owned) newest() (*signing.Root, *signing.Targets) {
	k := o.now()
	return k.Newest(), k.Document()
}

func (o *owned) rootBytes(version int64) []byte {
	roots := o.now().Roots
	if version < 1 || version > int64(len(roots)) {
		return nil
	}
	return roots[version-1].Bytes()
}

func (o *owned) targetsBytes(hash [32]byte) []byte {
	for _, doc := range o.now().Documents {
		if doc.Hash() == hash {
			return doc.Bytes()
		}
	}
	return nil
}

// learned is what a publisher knows of the channel's other writers, and a delegated one of its
// documents: from peers, judged as a follower does, and on disk before it is acted on. The
// main writer's teaches itself what it publishes ([Publisher.teach]).
type learned struct {
	id   signing.ID
	path string

	mu      sync.Mutex
	state   *signing.Trusted
	pending map[string]signing.Update // by writer: waits for a range
}

// openLearned reads what is known; a missing file is a stranger's. The file has the state
// and its SHA-256.
func openLearned(path string, id signing.ID) (*learned, error) {
	l := &learned{id: id, path: path, state: signing.NewTrusted(id), pending: make(map[string]signing.Update)}
	b, err := durable.ReadFile(durable.OS{}, path, signing.MaxState+sha256.Size)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("what is known of channel %s: %w", id, err)
	}
	end := len(b) - sha256.Size
	if end < 0 || sha256.Sum256(b[:end]) != [32]byte(b[end:]) {
		return nil, fmt.Errorf("%s: %w: remove it, and the channel's documents are asked for again", path, ErrDamaged)
	}
	if l.state, err = signing.ParseTrusted(b[:end]); err == nil && l.state.ID() != id {
		err = fmt.Errorf("it is of channel %s", l.state.ID())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w: remove it, and the channel's documents are asked for again", path, ErrDamaged, err)
	}
	return l, nil
}

// do runs what may change the state, and keeps it. The verdict of change is returned once
// the state is on disk; what could not be kept is an error of its own, and forgotten.
func (l *learned) do(change func(t *signing.Trusted) (signing.Need, error)) (signing.Need, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.state.Bytes()
	need, verdict := change(l.state)
	after := l.state.Bytes()
	if string(before) == string(after) {
		return need, verdict
	}
	sum := sha256.Sum256(after)
	if err := durable.WriteFile(durable.OS{}, l.path, append(after, sum[:]...)); err != nil {
		if old, perr := signing.ParseTrusted(before); perr == nil {
			l.state = old
		}
		return signing.Need{}, err
	}
	return need, verdict
}

func (l *learned) update(writer string, u signing.Update, now time.Time) (changed bool, need signing.Need, err error) {
	need, err = l.do(func(t *signing.Trusted) (signing.Need, error) {
		acc, err := t.UpdateHead(writer, u, now)
		if acc.Needs.Range {
			l.pending[writer] = u
		}
		changed = acc.Changed
		return acc.Needs, err
	})
	return changed && err == nil, need, err
}

// newestOf returns the newest head of a writer, the entries that are held of it, and where a
// base took the log back to last; Raw is nil when there is no head.
func (l *learned) newestOf(writer string) (h signing.Head, kept, first int64, entries [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if all := l.state.Withdrawn(writer); len(all) > 0 {
		kept = all[len(all)-1].First
	}
	first, entries = l.state.Held(writer)
	return l.state.Head(writer), kept, first, entries
}

// others returns the writers beside one of whom news are wanted.
func (l *learned) others(own string) (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	names = append(l.state.Writers(), signing.MainWriter)
	if targets := l.state.Targets(); targets != nil {
		names = append(names, targets.Writers()...)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(w string) bool { return w == own || l.state.Closed(w) })
}

func (l *learned) rangeOf(writer string, _ int64, hashes [][32]byte, now time.Time) (signing.Need, error) {
	return l.do(func(t *signing.Trusted) (signing.Need, error) {
		u, ok := l.pending[writer]
		delete(l.pending, writer)
		if !ok {
			return signing.Need{}, nil
		}
		acc, err := t.UpdateRange(writer, u, hashes, now)
		acc.Needs.Range = false // it had its chance
		return acc.Needs, err
	})
}

func (l *learned) root(raw []byte) (signing.Need, error) {
	return l.do(func(t *signing.Trusted) (signing.Need, error) {
		if err := t.UpdateRoot(raw); err != nil {
			return signing.Need{}, err
		}
		return needs(t), nil
	})
}

func (l *learned) targets(raw []byte) (signing.Need, error) {
	return l.do(func(t *signing.Trusted) (signing.Need, error) { return signing.Need{}, t.UpdateTargets(raw) })
}

func (l *learned) grant(page signing.Page) (signing.Need, error) {
	return l.do(func(t *signing.Trusted) (signing.Need, error) {
		err := t.UpdateGrant(page)
		return t.Wants(), err
	})
}

// needs is what to ask somebody for who may know more.
func (l *learned) needs() signing.Need {
	l.mu.Lock()
	defer l.mu.Unlock()
	return needs(l.state)
}

func needs(t *signing.Trusted) signing.Need {
	if t.Root() == nil {
		return signing.Need{Root: 1}
	}
	if n := t.Wants(); n != (signing.Need{}) {
		return n
	}
	return signing.Need{Update: true, Size: t.Size(signing.MainWriter)}
}

// version changes with the documents.
func (l *learned) version() [2]int64 {
	root, targets := l.newest()
	r, t := versions(root, targets)
	return [2]int64{r, t}
}

func (l *learned) channel() signing.ID { return l.id }

func (l *learned) newest() (*signing.Root, *signing.Targets) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Root(), l.state.Targets()
}

func (l *learned) rootBytes(version int64) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.RootBytes(version)
}

func (l *learned) targetsBytes(hash [32]byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.TargetsBytes(hash)
}

func (l *learned) size(writer string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Size(writer)
}

func (l *learned) updateWithin(writer string, size int64, limit int) (signing.Update, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.UpdateWithin(writer, size, limit)
}

// holds says what can be asked for of a writer: what the state has.
func (l *learned) holds(writer string) (channel.Holding, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.state.Head(writer)
	first, _ := l.state.Held(writer)
	out := channel.Holding{First: first, Size: h.Size, Time: h.Time.Unix()}
	out.Root, out.Targets = versions(l.state.Root(), l.state.Targets())
	return out, h.Raw != nil
}

func (l *learned) page(writer string, first, count, size int64) (signing.Page, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.state.Page(writer, first, count)
	return p, ok && p.Size == size
}

func (l *learned) ranges(writer string, size int64) ([][32]byte, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Range(writer, size)
}
