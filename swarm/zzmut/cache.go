package store

import (
	"container/list"
	"errors"
	"io/fs"
	"os"
	"sync"
)

// cache keeps a bounded number of files open. A handle that is in use is never
// closed, so that for a moment there may be more than max: at most as many as
// there are goroutines reading or writing.
type cache struct {
	max int

	mu   sync.Mutex // held for look-ups only, never over a system call
	open map[fileKey]*handle
	idle list.List // of *handle without users, most recently used in front
}

type fileKey struct {
	c    *Content
	file int
}

// handle is an open file. f, fd and err are written before ready is closed and
// not after it; users, elem and dropped belong to cache.mu.
type handle struct {
	key     fileKey
	ready   chan struct{}
	f       *os.File
	fd      uintptr
	err     error
	users   int
	elem    *list.Element // in cache.idle
	dropped bool          // no longer in cache.open
}

func newCache(max int) *cache {
	return &cache{max: max, open: make(map[fileKey]*handle)}
}

// get opens the file or finds it open. The caller must put it back.
func (k *cache) get(c *Content, file int, create bool) (*handle, error) {
	key := fileKey{c, file}
	for {
		k.mu.Lock()
		h := k.open[key]
		if h == nil {
			h = &handle{key: key, ready: make(chan struct{}), users: 1}
			k.open[key] = h
			stale := k.surplus(k.max)
			k.mu.Unlock()
			closeAll(stale)
			return k.fill(h, create)
		}
		h.users++
		if h.elem != nil {
			k.idle.Remove(h.elem)
			h.elem = nil
		}
		k.mu.Unlock()
		<-h.ready
		if h.err == nil {
			return h, nil
		}
		err := h.err
		k.put(h)
		// A reader's vain attempt says nothing to a writer, who may create.
		if !create || !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// fill opens the file of a handle that this goroutine entered into the table.
func (k *cache) fill(h *handle, create bool) (*handle, error) {
	h.f, h.err = h.key.c.openFile(h.key.file, create)
	if isTooManyFiles(h.err) {
		k.mu.Lock()
		stale := k.surplus(0)
		k.mu.Unlock()
		closeAll(stale)
		h.f, h.err = h.key.c.openFile(h.key.file, create)
	}
	if h.err == nil {
		h.fd = h.f.Fd()
		close(h.ready)
		return h, nil
	}
	k.mu.Lock()
	delete(k.open, h.key)
	h.dropped = true
	k.mu.Unlock()
	close(h.ready)
	err := h.err
	k.put(h)
	return nil, err
}

// put gives a handle back.
func (k *cache) put(h *handle) {
	k.mu.Lock()
	h.users--
	var stale []*handle
	switch {
	case h.users > 0:
	case h.dropped:
		stale = []*handle{h}
	default:
		h.elem = k.idle.PushFront(h)
		stale = k.surplus(k.max)
	}
	k.mu.Unlock()
	closeAll(stale)
}

// surplus takes the handles out of the table that are unused for longest, until
// at most keep are open. Called with mu held.
func (k *cache) surplus(keep int) (stale []*handle) {
	for len(k.open) > keep && k.idle.Len() > 0 {
		h := k.idle.Back().Value.(*handle)
		k.remove(h)
		stale = append(stale, h)
	}
	return stale
}

// remove takes an idle handle out of the table. Called with mu held.
func (k *cache) remove(h *handle) {
	k.idle.Remove(h.elem)
	h.elem = nil
	h.dropped = true
	delete(k.open, h.key)
}

// drop closes all files of a content; those in use when they are put back.
func (k *cache) drop(c *Content) {
	k.mu.Lock()
	var stale []*handle
	for key, h := range k.open {
		if key.c != c {
			continue
		}
		if h.elem != nil {
			k.remove(h)
			stale = append(stale, h)
		} else {
			h.dropped = true
			delete(k.open, key)
		}
	}
	k.mu.Unlock()
	closeAll(stale)
}

func closeAll(hs []*handle) {
	for _, h := range hs {
		if h.f != nil {
			h.f.Close()
		}
	}
}
