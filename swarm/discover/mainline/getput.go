package mainline

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"

	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"
)

var (
	// ErrNewer means that the network has an item that is newer than the one to put,
	// or another one of the same seq.
	ErrNewer = errors.New("the network has a newer item")
	// ErrNotFound means that no node had an item that verifies.
	ErrNotFound = errors.New("no such item in the DHT")
	// ErrNotStored means that no node took the item.
	ErrNotStored = errors.New("no node took the item")
)

// Found is the outcome of [Node.Get].
type Found struct {
	Item     Item // the newest that verifies
	Answered int  // nodes that answered
	Holders  int  // of which so many had Item
}

// Get looks for the newest item of a key and a salt. better, which may be nil, is called
// for each one that is newer than those before, from one goroutine at a time. The error
// wraps [ErrNotFound] when nobody has any, and [ErrAlone] when nobody could be asked
// before ctx ended.
func (n *Node) Get(ctx context.Context, key ed25519.PublicKey, salt []byte, better func(Item)) (Found, error) {
	if len(key) != ed25519.PublicKeySize || len(salt) > maxSalt {
		return Found{}, fmt.Errorf("get an item: %w: a key of %d and a salt of %d bytes", ErrMalformed, len(key), len(salt))
	}
	done, err := n.start(ctx, n.urgent)
	if err != nil {
		return Found{}, fmt.Errorf("get an item: %w", err)
	}
	defer done()
	f, _, found := n.get(ctx, [32]byte(key), salt, better)
	if !found {
		if f.Answered == 0 {
			return f, fmt.Errorf("get an item: %w", ErrAlone)
		}
		return f, fmt.Errorf("%w: %d nodes were asked", ErrNotFound, f.Answered)
	}
	return f, nil
}

// get walks to an item. It returns who answered.
func (n *Node) get(ctx context.Context, key [32]byte, salt []byte, better func(Item)) (f Found, near []*visit, found bool) {
	target := Target(key, salt)
	near = n.walk(ctx, target, "get", krpc.MsgArgs{Target: krpc.ID(target)}, nil, func(_ contact, o body) {
		f.Answered++
		it, ok := o.item(key, salt)
		switch {
		case !ok:
		case !found || it.Seq > f.Item.Seq:
			f.Item, f.Holders, found = it, 1, true
			if better != nil {
				better(it)
			}
		case it.same(f.Item):
			f.Holders++
		}
	})
	return f, near, found
}

// Stored is the outcome of [Node.Put].
type Stored struct {
	Nodes int // that took the item
	// Newer is the newest item that was met, if it is newer than the one to put.
	Newer *Item
}

// PutOptions say how to put.
type PutOptions struct {
	// CAS lets nodes take the item only in the place of one of that seq (BEP 44).
	CAS *int64
}

// Put puts an item on the nodes nearest to its target, whoever signed it. An item that
// is newer, or another one of the same seq, is left alone: the error then wraps
// [ErrNewer].
func (n *Node) Put(ctx context.Context, it Item, o PutOptions) (Stored, error) {
	if err := it.Check(); err != nil {
		return Stored{}, fmt.Errorf("put: %w", err)
	}
	done, err := n.start(ctx, n.urgent)
	if err != nil {
		return Stored{}, fmt.Errorf("put an item: %w", err)
	}
	defer done()
	return n.put(ctx, it, o)
}

func (n *Node) put(ctx context.Context, it Item, o PutOptions) (Stored, error) {
	f, near, found := n.get(ctx, it.Key, it.Salt, nil)
	s := Stored{}
	if found && (f.Item.Seq > it.Seq || f.Item.Seq == it.Seq && !f.Item.same(it)) {
		s.Newer = &f.Item
		return s, fmt.Errorf("put an item of seq %d: %w: seq %d", it.Seq, ErrNewer, f.Item.Seq)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var last error
	for _, v := range holders(near) {
		wg.Go(func() {
			_, err := n.ask(ctx, v.addr, "put", putArgs(it, v.token, o))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				s.Nodes++
			} else {
				last = err
			}
		})
	}
	wg.Wait()
	if s.Nodes == 0 {
		return s, errors.Join(fmt.Errorf("put an item of seq %d: %w", it.Seq, ErrNotStored), last)
	}
	return s, nil
}

func putArgs(it Item, token []byte, o PutOptions) krpc.MsgArgs {
	a := krpc.MsgArgs{Token: string(token), V: bencode.Bytes(it.Value), Seq: &it.Seq, K: it.Key, Salt: it.Salt, Sig: it.Sig}
	if o.CAS != nil {
		a.Cas = *o.CAS
	}
	return a
}
