package tracker

import (
	"container/list"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Server is a tracker. Make one with New; it needs no Close. All its methods may be
// called from many goroutines.
type Server struct {
	cfg     Config
	idKey   [32]byte     // of the connection ids; never changed
	keySeed maphash.Seed // for the parameter "key", which need not be kept whole

	mu     sync.Mutex // guards all that follows, and every swarm, bag and peer
	rand   *rand.Rand
	swarms map[[20]byte]*swarm
	byAge  list.List          // of *peer, the longest silent first
	owned  map[netip.Addr]int // peers registered on an account
	rates  *buckets
	draws  uint64 // answers made, to mark the peers handed out in one
	seeds  int    // peers that are seeds, in all swarms
	stats  Stats  // counters only
}

// New returns a Server for c.
func New(c Config) *Server {
	c = c.withDefaults()
	return &Server{
		cfg:     c,
		idKey:   c.read32(),
		keySeed: maphash.MakeSeed(),
		rand:    rand.New(rand.NewChaCha8(c.read32())),
		swarms:  make(map[[20]byte]*swarm),
		owned:   make(map[netip.Addr]int),
		rates:   newBuckets(c.Limits),
	}
}

// event is what an announce says has happened.
type event uint8

const (
	eventNone event = iota // the numbers are those of BEP 15
	eventCompleted
	eventStarted
	eventStopped
)

// families says which addresses an answer can carry.
type families uint8

const (
	anyFamily families = iota
	onlyIPv4
	onlyIPv6
)

// Bounds of numwant.
const (
	defaultNumWant = 50
	maxNumWant     = 200
)

// request is one announce, from either protocol.
type request struct {
	infohash [20]byte
	peerID   [20]byte
	port     uint16 // 0: it cannot be connected to, and is not registered
	event    event
	seed     bool // nothing is left to download
	numWant  int  // 0…maxNumWant
	key      uint64
	claims   []netip.AddrPort // addresses that it says it has, at most maxClaims; not yet judged
	from     netip.Addr       // where it came from, plain
	local    netip.Addr       // the address that it reached, plain; may be invalid
	family   families
}

// onHost tells whether the sender is on the tracker's own host.
func (q *request) onHost() bool { return q.from.IsLoopback() || q.from == q.local }

// host is the key of the sender's host: one for the tracker's own.
func (q *request) host() netip.Addr {
	if q.onHost() {
		return netip.Addr{}
	}
	return q.from
}

// wantsSeeds tells whether the sender has use for seeds: whoever is none, and
// whoever just starts, because aria2 says that nothing is left as long as it knows
// no more than a magnet link.
func (q *request) wantsSeeds() bool { return !q.seed || q.event == eventStarted }

// wants tells whether the answer can carry addresses of family f.
func (q *request) wants(f int) bool {
	return q.family == anyFamily || q.family == onlyIPv4 && f == 0 || q.family == onlyIPv6 && f == 1
}

// answer is what an announce is told.
type answer struct {
	peers   []handed
	counts  Counts
	warning string
}

// refusal is a failure that the asker is told of.
type refusal string

func (r refusal) Error() string { return string(r) }

const (
	errUnregistered = refusal("unregistered torrent")
	errTooFast      = refusal("too many announces from this address")
	errFull         = refusal("the tracker is full")

	warnTooMany = "too many peers are registered from this address: this one is not handed out"
)

// admit charges one request to from. It is false when they come too fast.
func (s *Server) admit(from netip.Addr) bool {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rates.take(account(from), now) {
		return true
	}
	s.stats.RateLimited++
	s.stats.Refused++
	return false
}

// refuse counts a request that is answered with a failure.
func (s *Server) refuse() {
	s.mu.Lock()
	s.stats.Refused++
	s.mu.Unlock()
}

// endpoint is one address under which a request registers its sender.
type endpoint struct {
	addr           netip.AddrPort
	proven, origin bool
}

// endpoints lists the addresses to register: the sender's own and, from local
// senders, what they claim.
func (s *Server) endpoints(q *request) []endpoint {
	if q.port == 0 {
		return nil
	}
	own := netip.AddrPortFrom(q.from, q.port)
	out := []endpoint{{addr: own, proven: true, origin: s.cfg.IsOrigin(own)}}
	if classOf(q.from) == classPublic {
		return out
	}
	for _, a := range q.claims {
		if a != own && claimable(a) {
			out = append(out, endpoint{addr: a, origin: s.cfg.IsOrigin(a)})
		}
	}
	return out
}

// announce registers the sender of q, or forgets it, and chooses peers for it. The
// rate has been charged by the caller. The error is a refusal.
func (s *Server) announce(q *request) (answer, error) {
	if !s.cfg.Allowed(q.infohash) {
		s.refuse()
		return answer{}, errUnregistered
	}
	self := s.self(q.infohash, q.local)
	ends := s.endpoints(q)
	now := s.cfg.Now()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	var a answer
	if q.event == eventStopped {
		s.stop(q)
	} else if len(ends) > 0 {
		sw, ok := s.swarms[q.infohash]
		if !ok {
			if len(s.swarms) >= s.cfg.Limits.Swarms && !s.dropEmpty() {
				s.stats.Refused++
				return answer{}, errFull
			}
			sw = newSwarm(q.infohash)
			s.swarms[q.infohash] = sw
		}
		if !s.register(sw, q, ends, now) {
			a.warning = warnTooMany
			s.stats.Unregistered++
		}
	}
	sw := s.swarms[q.infohash]
	if q.event != eventStopped {
		a.peers = s.pick(sw, q, self)
	}
	a.counts = count(sw, self)
	s.stats.Announces++
	return a, nil
}

// self asks for the origin's addresses and drops what nobody can connect to.
func (s *Server) self(infohash [20]byte, local netip.Addr) []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range s.cfg.Self(infohash, local) {
		if a = netip.AddrPortFrom(plain(a.Addr()), a.Port()); a.IsValid() && a.Port() != 0 && !a.Addr().IsUnspecified() {
			out = append(out, a)
		}
	}
	return out
}

// register adds or refreshes the peers at ends. It is false when the account has
// too many and the sender's own address is not registered.
func (s *Server) register(sw *swarm, q *request, ends []endpoint, now time.Time) (ok bool) {
	payer := account(q.from)
	ok = true
	for _, e := range ends {
		old := sw.peers[e.addr]
		if old != nil && old.proven && !e.proven {
			continue // a claim never takes a proven address over
		}
		if e.proven && q.event == eventCompleted && (old == nil || !old.seed) {
			sw.downloaded++
		}
		owned := s.owned[payer]
		if old != nil && old.payer == payer {
			owned-- // it is replaced
		}
		if owned >= s.cfg.Limits.PeersPerIP {
			ok = ok && !e.proven
			continue
		}
		if old != nil {
			s.forget(old)
		}
		s.makeRoom(sw)
		p := &peer{
			addr: e.addr, id: q.peerID, key: q.key, seed: q.seed, proven: e.proven, origin: e.origin,
			onHost: q.onHost(), host: q.host(), payer: payer, seen: now,
		}
		sw.add(p)
		p.queued = s.byAge.PushBack(p)
		s.owned[payer]++
		s.seeds += which(p)
	}
	return ok
}

// makeRoom evicts so that sw may grow by one.
func (s *Server) makeRoom(sw *swarm) {
	if sw.all.len() >= s.cfg.Limits.PeersPerSwarm {
		s.forget(sw.silent(s.rand))
		s.stats.Evicted++
	}
	if s.byAge.Len() >= s.cfg.Limits.Peers {
		s.forget(s.byAge.Front().Value.(*peer))
		s.stats.Evicted++
	}
}

// stop forgets the sender of q and what it claimed. Its peer id, or its key, shows
// that it is not somebody else behind the same address.
func (s *Server) stop(q *request) {
	sw := s.swarms[q.infohash]
	if sw == nil {
		return
	}
	own := netip.AddrPortFrom(q.from, q.port)
	for _, a := range append([]netip.AddrPort{own}, q.claims...) {
		p := sw.peers[a]
		if p != nil && p.payer == account(q.from) && (p.id == q.peerID || p.key != 0 && p.key == q.key) {
			s.forget(p)
		}
	}
	if sw.all.len() == 0 && sw.downloaded == 0 {
		delete(s.swarms, q.infohash)
	}
}

// forget removes p everywhere. Its swarm stays, even if that was its last peer:
// dropEmpty and expire take care of it.
func (s *Server) forget(p *peer) {
	p.swarm.remove(p)
	s.byAge.Remove(p.queued)
	s.seeds -= which(p)
	if s.owned[p.payer]--; s.owned[p.payer] <= 0 {
		delete(s.owned, p.payer)
	}
}

// expire forgets the peers that have been silent for too long. The list is in the
// order of their last announce, so it looks at no peer that stays but one.
func (s *Server) expire(now time.Time) {
	limit := now.Add(-2*s.cfg.Interval - expirySlack)
	for e := s.byAge.Front(); e != nil; e = s.byAge.Front() {
		p := e.Value.(*peer)
		if p.seen.After(limit) {
			return
		}
		s.forget(p)
		s.stats.Expired++
		if p.swarm.all.len() == 0 && p.swarm.downloaded == 0 {
			delete(s.swarms, p.swarm.infohash)
		}
	}
}

// dropEmpty removes a swarm which has no peers left and is kept only for its count
// of downloads. It is false when there is none.
func (s *Server) dropEmpty() bool {
	for k, sw := range s.swarms {
		if sw.all.len() == 0 {
			delete(s.swarms, k)
			return true
		}
	}
	return false
}

// count adds up a swarm, which may be nil, and the node's own seed.
func count(sw *swarm, self []netip.AddrPort) (c Counts) {
	own := len(self) > 0
	if sw != nil {
		c = Counts{Complete: len(sw.all.lists[1]), Incomplete: len(sw.all.lists[0]), Downloaded: sw.downloaded}
		for _, a := range self {
			if _, ok := sw.peers[a]; ok {
				own = false // it announces to itself and is counted already
			}
		}
	}
	if own {
		c.Complete++
	}
	return c
}

// Counts tells what is known of infohash; false when it is not served.
func (s *Server) Counts(infohash [20]byte) (Counts, bool) { return s.scrape(infohash, netip.Addr{}) }

// scrape is Counts for somebody who reached the tracker at local.
func (s *Server) scrape(infohash [20]byte, local netip.Addr) (Counts, bool) {
	if !s.cfg.Allowed(infohash) {
		return Counts{}, false
	}
	self, now := s.self(infohash, local), s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	return count(s.swarms[infohash], self), true
}

// Stats returns the counters and what is held now.
func (s *Server) Stats() Stats {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	out := s.stats
	out.Swarms, out.Peers, out.Seeds, out.RatedIPs = len(s.swarms), s.byAge.Len(), s.seeds, len(s.rates.byAddr)
	return out
}
