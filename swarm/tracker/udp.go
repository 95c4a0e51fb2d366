package tracker

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"time"
)

// BEP 15. All integers are big-endian.
const (
	protocolID = 0x41727101980 // what a connect has in place of a connection id

	actionConnect  = 0
	actionAnnounce = 1
	actionScrape   = 2
	actionError    = 3

	headerLen   = 16 // connection id, action, transaction id
	announceLen = 98 // options may follow (BEP 41); they are ignored
	maxPacket   = 2048

	connectionWindow = 60 // seconds for which one address gets one connection id

	// An answer must fit the smallest usual MTU: 1232 bytes would be IPv6's own
	// minimum, 1400 are safe on Ethernet with a tunnel. 20 + 200·6 = 1220.
	maxNumWant6 = (1400 - 20) / 18

	// The text that other trackers send and that clients look for, NUL included, in
	// order to connect anew instead of giving the tracker up.
	connectionMismatch = "Connection ID missmatch.\x00"
)

// udpRequest is one packet. For a connect only transaction is set, for a scrape
// hashes in addition, for an announce the rest.
type udpRequest struct {
	connection  uint64
	action      uint32
	transaction uint32

	hashes [][20]byte // of a scrape, 1…maxScrape

	infohash, peerID [20]byte
	left             uint64
	event            uint32
	ip               [4]byte // zero: not given
	key              uint32
	numWant          int32
	port             uint16
}

// parseUDP reads a packet. It is false for what is none of BEP 15's requests.
func parseUDP(b []byte) (q udpRequest, ok bool) {
	if len(b) < headerLen || len(b) > maxPacket {
		return q, false
	}
	be := binary.BigEndian
	q.connection, q.action, q.transaction = be.Uint64(b), be.Uint32(b[8:]), be.Uint32(b[12:])
	body := b[headerLen:]
	switch q.action {
	case actionConnect:
		return q, q.connection == protocolID
	case actionAnnounce:
		if len(b) < announceLen {
			return q, false
		}
		copy(q.infohash[:], body)
		copy(q.peerID[:], body[20:])
		q.left = be.Uint64(body[48:])
		q.event = be.Uint32(body[64:])
		copy(q.ip[:], body[68:])
		q.key = be.Uint32(body[72:])
		q.numWant = int32(be.Uint32(body[76:]))
		q.port = be.Uint16(body[80:])
		return q, true
	case actionScrape:
		if len(body) == 0 || len(body)%20 != 0 {
			return q, false
		}
		for ; len(body) > 0 && len(q.hashes) < maxScrape; body = body[20:] {
			q.hashes = append(q.hashes, [20]byte(body))
		}
		return q, true
	}
	return q, false
}

// connectionID is what a sender at a is given in the window'th minute. Only who
// receives at a can know it.
func (s *Server) connectionID(a netip.Addr, window int64) uint64 {
	m := hmac.New(sha256.New, s.idKey[:])
	ip := a.As16()
	m.Write(ip[:])
	var t [8]byte
	binary.BigEndian.PutUint64(t[:], uint64(window))
	m.Write(t[:])
	return binary.BigEndian.Uint64(m.Sum(nil))
}

// connected tells whether id was given to a in this minute or the two before it.
func (s *Server) connected(a netip.Addr, id uint64, now time.Time) bool {
	var given, want [8]byte
	binary.BigEndian.PutUint64(given[:], id)
	good := false
	w := now.Unix() / connectionWindow
	for i := range int64(3) {
		binary.BigEndian.PutUint64(want[:], s.connectionID(a, w-i))
		good = hmac.Equal(given[:], want[:]) || good
	}
	return good
}

// handlePacket answers one packet that came from, and reached local, which is
// invalid when unknown. nil: no answer. The answer is never longer than the packet
// unless from has shown a connection id.
func (s *Server) handlePacket(b []byte, from netip.AddrPort, local netip.Addr) []byte {
	q, ok := parseUDP(b)
	ip := plain(from.Addr())
	if !ok || !ip.IsValid() || from.Port() == 0 {
		return nil
	}
	now := s.cfg.Now()
	out := make([]byte, 8, 64)
	binary.BigEndian.PutUint32(out, q.action)
	binary.BigEndian.PutUint32(out[4:], q.transaction)
	if q.action == actionConnect {
		return binary.BigEndian.AppendUint64(out, s.connectionID(ip, now.Unix()/connectionWindow))
	}
	fail := func(reason string) []byte {
		binary.BigEndian.PutUint32(out, actionError)
		return append(out, reason...)
	}
	if !s.connected(ip, q.connection, now) {
		return fail(connectionMismatch) // 33 bytes: the shortest announce has 98, the shortest scrape 36
	}
	if !s.admit(ip) {
		return fail(errTooFast.Error())
	}
	if q.action == actionScrape {
		return s.scrapeUDP(out, &q, plain(local))
	}
	a, err := s.announce(s.requestOf(&q, ip, plain(local)))
	if err != nil {
		return fail(err.Error())
	}
	out = binary.BigEndian.AppendUint32(out, uint32(s.interval()))
	out = binary.BigEndian.AppendUint32(out, uint32(a.counts.Incomplete))
	out = binary.BigEndian.AppendUint32(out, uint32(a.counts.Complete))
	for _, h := range a.peers {
		out = appendCompact(out, h.addr)
	}
	return out
}

func (s *Server) scrapeUDP(out []byte, q *udpRequest, local netip.Addr) []byte {
	for _, h := range q.hashes {
		c, _ := s.scrape(h, local) // what is not served has three zeros
		out = binary.BigEndian.AppendUint32(out, uint32(c.Complete))
		out = binary.BigEndian.AppendUint32(out, uint32(c.Downloaded))
		out = binary.BigEndian.AppendUint32(out, uint32(c.Incomplete))
	}
	s.scraped()
	return out
}

// requestOf translates an announce. The family of the sender's address decides
// which addresses fit the answer.
func (s *Server) requestOf(q *udpRequest, from, local netip.Addr) *request {
	r := &request{
		infohash: q.infohash, peerID: q.peerID, port: q.port, seed: q.left == 0,
		numWant: clampNumWant(int(q.numWant)), from: from, local: local, family: onlyIPv4,
	}
	if q.event <= uint32(eventStopped) {
		r.event = event(q.event)
	}
	if from.Is6() {
		r.family = onlyIPv6
		r.numWant = min(r.numWant, maxNumWant6)
	}
	if q.key != 0 {
		r.key = maphash.Comparable(s.keySeed, q.key)
	}
	if q.ip != [4]byte{} {
		r.claims = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4(q.ip), q.port)}
	}
	return r
}
