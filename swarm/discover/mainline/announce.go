package mainline

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
)

// When an infohash is announced.
const (
	minAnnounce   = time.Minute // between two
	firstAnnounce = 30 * time.Second
	firstSearch   = 5 * time.Second  // where peers are looked for
	lastAnnounce  = 15 * time.Minute // peers are forgotten after half an hour, by BEP 5
	maxSwarmsOurs = 10000
	// maxPeersFound bounds the peers of one walk that are passed on.
	maxPeersFound = 400
)

// announcement is an infohash that is announced again and again.
type announcement struct {
	infohash [20]byte
	port     uint16
	cancel   context.CancelFunc
	wake     chan struct{}
}

// Announce tells the network now, and from time to time, that peers of an infohash are to
// be had at the given TCP port of this machine, and tells OnPeers who else there is. With
// port 0 it only asks. Somebody who is searching asks more often in the beginning.
func (n *Node) Announce(infohash [20]byte, port uint16, searching bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
		return ErrClosed
	case n.swarms[infohash] != nil:
		return nil
	case len(n.swarms) >= maxSwarmsOurs:
		return fmt.Errorf("announce %s to the DHT: %w: %d are", name(infohash), ErrTooMany, maxSwarmsOurs)
	}
	ctx, cancel := context.WithCancel(n.ctx)
	a := &announcement{infohash: infohash, port: port, cancel: cancel, wake: make(chan struct{}, 1)}
	n.swarms[infohash] = a
	wait, slots := firstAnnounce, n.spare
	if searching {
		wait, slots = firstSearch, n.urgent
	}
	n.work.Go(func() { n.announce(ctx, a, wait, slots) })
	return nil
}

// Forget ends what Announce began.
func (n *Node) Forget(infohash [20]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.swarms[infohash]; a != nil {
		a.cancel()
		delete(n.swarms, infohash)
	}
}

// Announces reports whether an infohash is announced.
func (n *Node) Announces(infohash [20]byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.swarms[infohash] != nil
}

// Again asks for more peers, as soon as a minute has passed since the last time.
func (n *Node) Again(infohash [20]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.swarms[infohash]; a != nil {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

func (n *Node) announce(ctx context.Context, a *announcement, wait time.Duration, slots chan struct{}) {
	defer a.cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		peers, told, err := n.tell(ctx, a, slots)
		if ctx.Err() != nil {
			return
		}
		n.log.Debug("announced to the DHT", "infohash", name(a.infohash), "peers", peers, "nodes", told, "err", err)
		last := n.now()
		timer.Reset(n.spread(wait))
		wait = min(2*wait, lastAnnounce)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-a.wake:
			timer.Reset(max(0, minAnnounce-n.now().Sub(last)))
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		}
	}
}

// tell asks for peers and announces ours. It returns how many peers were found and how
// many nodes keep us.
func (n *Node) tell(ctx context.Context, a *announcement, slots chan struct{}) (peers, told int, err error) {
	done, err := n.start(ctx, slots)
	if err != nil {
		return 0, 0, err
	}
	defer done()
	seen := make(map[netip.AddrPort]bool)
	near := n.walk(ctx, a.infohash, "get_peers", krpc.MsgArgs{InfoHash: krpc.ID(a.infohash)}, nil, func(c contact, o body) {
		var fresh []netip.AddrPort
		for _, p := range o.values {
			outside := inner(p.Addr()) && !inner(c.addr.Addr()) // a node outside must not point inside
			if !outside && !seen[p] && len(seen) < maxPeersFound {
				seen[p] = true
				fresh = append(fresh, p)
			}
		}
		if len(fresh) > 0 && ctx.Err() == nil {
			n.cfg.OnPeers(a.infohash, fresh)
		}
	})
	if a.port == 0 || ctx.Err() != nil {
		return len(seen), 0, ctx.Err()
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	port := int(a.port)
	for _, v := range holders(near) {
		wg.Go(func() {
			_, e := n.ask(ctx, v.addr, "announce_peer", krpc.MsgArgs{InfoHash: krpc.ID(a.infohash), Port: &port, Token: string(v.token)})
			mu.Lock()
			defer mu.Unlock()
			if e == nil {
				told++
			} else {
				err = errors.Join(err, e)
			}
		})
	}
	wg.Wait()
	if told > 0 {
		err = nil
	}
	return len(seen), told, err
}
