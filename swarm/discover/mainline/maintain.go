package mainline

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
)

// When the table is looked after.
const (
	few        = 8 // nodes: with fewer, more are looked for
	firstJoin  = 2 * time.Second
	lastJoin   = 10 * time.Minute
	housework  = time.Minute
	staleAfter = 10 * time.Minute
	// Walks that refresh the table come often in the beginning: where many start at once,
	// the first walks meet hardly anybody.
	firstRefresh = 5 * time.Second
	lastRefresh  = 15 * time.Minute
	saveTime     = 15 * time.Minute
	resolveTime  = 5 * time.Second
	maxStale     = 16 // nodes that are asked each time
)

// maintain keeps the table filled and fresh, until the node closes.
func (n *Node) maintain() {
	var refreshed, joined, swept time.Time
	saved := n.now()
	wait, again := firstJoin, firstRefresh
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-timer.C:
		case <-n.poke:
			wait = firstJoin
		}
		now := n.now()
		if before := n.Size(); before < few && now.Sub(joined) >= wait {
			first := joined.IsZero()
			joined = now
			n.join()
			if after := n.Size(); after > before {
				if before == 0 {
					n.log.Info("the DHT is reached", "nodes", after)
				}
				wait = firstJoin
			} else if wait = min(2*wait, lastJoin); first {
				n.log.Debug("no node of the DHT is reached yet")
			}
		}
		if now.Sub(swept) >= housework {
			swept = now
			n.sweep(now)
		}
		if n.Size() > 0 && now.Sub(refreshed) >= again {
			if !refreshed.IsZero() {
				again = min(2*again, lastRefresh)
			}
			refreshed = now
			n.refresh()
		}
		if now.Sub(saved) >= saveTime {
			saved = now
			n.save()
		}
		next := n.spread(min(housework, again))
		if n.Size() < few {
			next = min(next, n.spread(wait))
		}
		timer.Reset(next)
	}
}

// join looks for nodes: those of the file, those of the user, and the table's.
func (n *Node) join() {
	n.mu.Lock()
	hints := n.hints
	n.mu.Unlock()
	addrs := n.bootstrap()
	for _, c := range hints {
		if len(addrs) < startNodes+len(n.cfg.Bootstrap) {
			addrs = append(addrs, c.addr)
		}
	}
	if len(addrs) == 0 && n.Size() == 0 {
		return
	}
	n.findNode(n.id, addrs)
}

func (n *Node) findNode(target [20]byte, addrs []netip.AddrPort) {
	n.walk(n.ctx, target, "find_node", krpc.MsgArgs{Target: krpc.ID(target)}, addrs, func(contact, body) {})
}

// refresh walks to our own id, and to one in the bucket of which least is known.
func (n *Node) refresh() {
	var far [20]byte
	n.randMu.Lock()
	for i := range far {
		far[i] = byte(n.rand.Uint32())
	}
	n.randMu.Unlock()
	n.findNode(n.id, nil)
	n.mu.Lock()
	far = n.table.within(far, n.table.emptiest())
	n.mu.Unlock()
	n.findNode(far, nil)
}

// sweep asks those who were silent for long, and forgets whom was met.
func (n *Node) sweep(now time.Time) {
	n.mu.Lock()
	stale := n.table.stale(now.Add(-staleAfter), maxStale)
	clear(n.lately)
	n.mu.Unlock()
	for _, c := range stale {
		select {
		case n.meet <- c:
		default:
		}
	}
}

// bootstrap looks up the addresses of the nodes that the user named, all together in a few
// seconds.
func (n *Node) bootstrap() (out []netip.AddrPort) {
	ctx, cancel := context.WithTimeout(n.ctx, resolveTime)
	defer cancel()
	for _, word := range n.cfg.Bootstrap {
		host, port, err := net.SplitHostPort(word)
		if err != nil {
			n.log.Debug("DHT bootstrap", "node", word, "err", err)
			continue
		}
		number, err := strconv.ParseUint(port, 10, 16)
		var addrs []netip.Addr
		if err == nil {
			if a, perr := netip.ParseAddr(host); perr == nil {
				addrs = []netip.Addr{a}
			} else {
				addrs, err = n.cfg.Resolve(ctx, host)
			}
		}
		if err != nil {
			n.log.Debug("DHT bootstrap", "node", word, "err", err)
		}
		for _, a := range addrs[:min(len(addrs), 4)] {
			if ap, ok := canonical(netip.AddrPortFrom(a, uint16(number))); ok && ap != n.Addr() {
				out = append(out, ap)
			}
		}
	}
	return out
}

// met is told of a node that asked us something. If there is room for it, it is asked
// something, too: its address may be made up. It is called by the goroutine that reads.
func (n *Node) met(c contact) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lately[c.addr] || len(n.lately) >= recentlyMet || !n.table.wants(c) {
		return
	}
	select {
	case n.meet <- c:
		n.lately[c.addr] = true
	default:
	}
}

// greet asks nodes whether they are there.
func (n *Node) greet() {
	for {
		select {
		case <-n.ctx.Done():
			return
		case c := <-n.meet:
			before := n.Size()
			if _, err := n.ask(n.ctx, c.addr, "ping", krpc.MsgArgs{}); err == nil && before == 0 {
				select { // it may know more
				case n.poke <- struct{}{}:
				default:
				}
			}
		}
	}
}
