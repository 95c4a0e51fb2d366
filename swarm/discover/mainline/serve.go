package mainline

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// How much is answered: replies may be larger than the questions, whose senders can be
// made up.
const (
	answersPerSecond        = 500
	answersPerSecondAndHost = 50
	maxAskers               = 4096 // addresses that are counted at a time
)

// tokenLife is how long a token is handed out; it is accepted for as long again.
const tokenLife = 5 * time.Minute

// server answers queries. It is owned by the goroutine that reads packets.
type server struct {
	node   *Node
	shelf  *shelf
	all    *rate.Limiter
	window time.Time
	asked  map[netip.Addr]int // since window
}

func newServer(n *Node) *server {
	return &server{node: n, shelf: newShelf(), all: rate.NewLimiter(answersPerSecond, answersPerSecond), asked: make(map[netip.Addr]int)}
}

// allow reports whether a query is looked at.
func (s *server) allow(from netip.Addr, now time.Time) bool {
	if now.Sub(s.window) >= time.Second || len(s.asked) >= maxAskers {
		s.window = now
		clear(s.asked)
	}
	s.asked[from]++
	return s.asked[from] <= answersPerSecondAndHost && s.all.AllowN(now, 1)
}

// query answers a query. The reply is a packet to write, nil for none.
func (s *server) query(m message, from netip.AddrPort) []byte {
	now := s.node.now()
	if !s.allow(from.Addr(), now) {
		return nil
	}
	reply := message{transaction: m.transaction, kind: 'r', body: body{sender: s.node.id}}
	if no := s.serve(m, from, &reply.body, now); no.code != 0 {
		return message{transaction: m.transaction, kind: 'e', code: no.code, text: no.text}.append(nil)
	}
	if !m.readOnly {
		s.node.met(contact{m.body.sender, from})
	}
	return reply.append(nil)
}

// serve fills the reply of a query.
func (s *server) serve(m message, from netip.AddrPort, out *body, now time.Time) refusal {
	o := m.body
	w := o.want
	if !w.v4 && !w.v6 { // BEP 32: what the packet came over
		w.v4 = from.Addr().Is4()
		w.v6 = !w.v4
	}
	switch m.method {
	case "ping":
		return refusal{}
	case "find_node", "get_peers", "get":
		if o.target == nil {
			return refusal{errorProtocol, "no target"}
		}
		out.nodes = s.node.nearest(*o.target, w)
	}
	switch m.method {
	case "find_node":
	case "get_peers":
		out.token = s.node.token(from.Addr(), now)
		out.values = s.shelf.swarm(*o.target, w, now)
	case "get":
		out.token = s.node.token(from.Addr(), now)
		if it := s.shelf.item(*o.target, now); it != nil {
			out.seq = it.seq
			if o.seq == nil || it.seq == nil || *it.seq > *o.seq {
				out.value, out.key, out.sig = it.value, it.key, it.sig
			}
		}
	case "announce_peer":
		port := o.port
		if o.implied {
			port = from.Port()
		}
		switch {
		case !s.node.validToken(o.token, from.Addr(), now):
			return refusal{errorProtocol, "bad token"}
		case o.target == nil || port == 0:
			return refusal{errorProtocol, "no info_hash or no port"}
		}
		s.shelf.announce(*o.target, netip.AddrPortFrom(from.Addr(), port), now)
	case "put":
		if !s.node.validToken(o.token, from.Addr(), now) {
			return refusal{errorProtocol, "bad token"}
		}
		return s.shelf.put(o, from.Addr(), now)
	default:
		return refusal{errorUnknown, "method unknown"}
	}
	return refusal{}
}

// token makes what the sender of a put or an announcement must show: that packets reach
// it at its address.
func (n *Node) token(to netip.Addr, now time.Time) []byte { return n.tokenOf(to, epoch(now)) }

func (n *Node) validToken(token []byte, from netip.Addr, now time.Time) bool {
	e := epoch(now)
	return hmac.Equal(token, n.tokenOf(from, e)) || hmac.Equal(token, n.tokenOf(from, e-1))
}

func epoch(now time.Time) int64 { return now.Unix() / int64(tokenLife/time.Second) }

func (n *Node) tokenOf(a netip.Addr, epoch int64) []byte {
	h := hmac.New(sha256.New, n.secret[:])
	h.Write(a.AsSlice())
	for i := range 8 {
		h.Write([]byte{byte(epoch >> (8 * i))})
	}
	return h.Sum(nil)[:8]
}
