package publish

import (
	"bytes"
	"fmt"
	"time"

	"handful/signing"
	"handful/signing/durable"
)

// Network returns the newest head of this writer that [Log.ObserveHead] was told of
// and that is ahead of the log; its Raw is nil when there is none.
func (l *Log) Network() signing.Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.network.Raw == nil || l.contradicts(l.network) == nil {
		return signing.Head{} // it has caught up
	}
	return l.network
}

// ObserveHead tells the log of a head of its own that came from the network. It must be
// called with what the network holds before the first Sign of a run, and with whatever
// comes later. The result is nil when the log contains it, [ErrBehind] when the log
// must catch up, [signing.ErrFork] when the writer has signed two histories; in both
// cases nothing is signed any more, after a restart neither. A head that does not verify
// is refused and changes nothing, and so is one that a base has withdrawn
// ([signing.ErrWithdrawn]).
func (l *Log) ObserveHead(raw []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.begin(); err != nil {
		return err
	}
	h, err := l.cfg.openHead(raw)
	if err != nil {
		return fmt.Errorf("head from the network: %w", err)
	}
	if !h.Time.After(l.applied.since) {
		return fmt.Errorf("head from the network, signed at %s: %w", h.Time.Format(time.RFC3339), signing.ErrWithdrawn)
	}
	verdict := l.contradicts(h)
	if verdict == nil {
		return l.adopt(h)
	}
	if l.network.Raw == nil || h.Size > l.network.Size || l.contradicts(l.network) == nil {
		if err := durable.WriteFile(l.fs, l.path(networkFile), raw); err != nil {
			return l.fails(fmt.Errorf("log %s: keep the network's head: %w", l.dir, err))
		}
		l.network, l.caughtUp = h, 0
	}
	return verdict
}

// adopt takes over a head that the log contains, if it is newer than its own: this
// machine may have lost it.
func (l *Log) adopt(h signing.Head) error {
	own := l.signed
	if own.Raw != nil && (h.Size < own.Size || h.Size == own.Size && !h.Time.After(own.Time)) {
		return nil
	}
	if h.Size > l.intent.Size || l.intent.Origin == "" {
		if err := durable.WriteFile(l.fs, l.path(intentFile), []byte(h.Text())); err != nil {
			return l.fails(fmt.Errorf("log %s: note what was signed: %w", l.dir, err))
		}
		l.intent = signing.Head{Origin: h.Origin, Size: h.Size, Root: h.Root}
	}
	return l.keep(h.Raw)
}

// CatchUpFrom returns the index from which pages towards the head of [Log.Network] are
// needed.
func (l *Log) CatchUpFrom() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from()
}

// from is where the next page must begin at the latest. Below the floor nothing can
// have been displaced; behind it entries may be unsigned ones that never went out.
func (l *Log) from() int64 { return max(l.caughtUp, min(l.floor(), l.log.Size())) }

// CatchUp appends what the network has and the log has not, from a page towards the
// head of [Log.Network] that begins at or before CatchUpFrom. Entries of the log that
// were never signed and stand in the way are returned, for the caller to append again
// once the log has caught up. A page that contradicts what was signed here is a
// [signing.ErrFork].
func (l *Log) CatchUp(p signing.Page) (displaced [][]byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.begin(); err != nil {
		return nil, err
	}
	if l.network.Raw == nil {
		return nil, fmt.Errorf("log %s: the network has shown no head that is ahead", l.dir)
	}
	if err := p.Verify(l.network); err != nil {
		return nil, fmt.Errorf("log %s: catch up: %w", l.dir, err)
	}
	at, differs, err := l.sameUntil(p)
	if err != nil {
		return nil, err
	}
	if !differs && at < l.log.Size() {
		l.caughtUp = at
		return nil, nil // nothing new
	}
	for i := at; i < l.log.Size(); i++ {
		e, err := l.log.Entry(i)
		if err != nil {
			return nil, err
		}
		displaced = append(displaced, e)
	}
	if err := l.disk.cut(at); err != nil {
		return nil, l.fails(fmt.Errorf("log %s: drop unsigned entries: %w", l.dir, err))
	}
	if err := l.findGrant(); err != nil {
		return nil, l.fails(err)
	}
	for _, e := range p.Entries[at-p.First:] {
		if _, err := l.append(e); err != nil {
			return displaced, err
		}
	}
	if err := l.beyondBase(); err != nil {
		return displaced, err
	}
	l.caughtUp = l.log.Size()
	if l.contradicts(l.network) == nil {
		return displaced, l.adopt(l.network)
	}
	return displaced, nil
}

// common returns how far the log is known to be a beginning of the tree of the page:
// up to the page's first entry if the ranges before it are equal, else 0.
func (l *Log) common(p signing.Page) int64 {
	if p.First > l.log.Size() {
		return 0
	}
	own, err := l.log.Range(0, p.First)
	if err != nil || len(own) != len(p.Left) {
		return 0
	}
	for i := range own {
		if own[i] != p.Left[i] {
			return 0
		}
	}
	return p.First
}

// sameUntil returns the index up to which the log and the page are the same: of the
// first entry that differs, or at which one of them ends.
func (l *Log) sameUntil(p signing.Page) (at int64, differs bool, err error) {
	if p.First > l.log.Size() || p.First > 0 && l.common(p) != p.First {
		if p.First <= l.floor() && p.First <= l.log.Size() {
			return 0, false, fmt.Errorf("log %s: catch up: %w: the network's first %d entries are others", l.dir, signing.ErrFork, p.First)
		}
		return 0, false, fmt.Errorf("log %s: catch up: a page from entry %d on, but one from %d on is needed", l.dir, p.First, l.from())
	}
	at = p.First
	for ; at < l.log.Size() && at-p.First < int64(len(p.Entries)); at++ {
		own, err := l.log.Entry(at)
		if err != nil {
			return 0, false, err
		}
		if bytes.Equal(own, p.Entries[at-p.First]) {
			continue
		}
		if at < l.floor() {
			return 0, false, fmt.Errorf("log %s: catch up: %w: entry %d of the network is another", l.dir, signing.ErrFork, at)
		}
		return at, true, nil
	}
	return at, false, nil
}

// Confirm notes that the network was asked, and that everything it holds is in the log:
// publishing goes on.
func (l *Log) Confirm() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.begin(); err != nil {
		return err
	}
	if !l.unconfirmed {
		return nil
	}
	if err := l.fs.Remove(l.path(unconfirmedFile)); err != nil {
		return l.fails(fmt.Errorf("log %s: confirm: %w", l.dir, err))
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return l.fails(fmt.Errorf("log %s: confirm: %w", l.dir, err))
	}
	l.unconfirmed = false
	return nil
}

// Size returns the number of entries, signed or not.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Size()
}

// Head returns the last signed head; its Raw is nil when there is none.
func (l *Log) Head() signing.Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Head()
}

// Entry returns the entry of an index below Size.
func (l *Log) Entry(index int64) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Entry(index)
}

// UpdateFor makes the update for a follower who has size entries; see
// [signing.Log.UpdateFor].
func (l *Log) UpdateFor(size int64) (signing.Update, error) {
	return l.UpdateWithin(size, signing.MaxUpdate)
}

// UpdateWithin is UpdateFor for at most limit bytes; see [signing.Log.UpdateWithin].
func (l *Log) UpdateWithin(size int64, limit int) (signing.Update, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.UpdateWithin(size, limit)
}

// Page makes a page of entries; see [signing.Log.Page].
func (l *Log) Page(first, count, size int64) (signing.Page, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Page(first, count, size)
}

// Range returns the compact range [0, size) of the signed log.
func (l *Log) Range(size int64) ([][32]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if size > l.log.Head().Size {
		return nil, fmt.Errorf("log %s: range of %d entries: %d are signed", l.dir, size, l.log.Head().Size)
	}
	return l.log.Range(0, size)
}
