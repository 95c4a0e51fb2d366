// Package tracker is the embedded tracker of a publishing node: it tells peers
// of a torrent about each other, over HTTP and over UDP, to our own peers and to
// any other BitTorrent client. It knows nothing of the engine, of files or of
// signatures, and what it says is a hint: a lie of a peer costs another peer a
// failed dial, never a wrong byte.
//
// # What it speaks
//
//   - BEP 3 announces over HTTP (GET …/announce), with events started, stopped and
//     completed; an unknown event counts as a regular announce
//   - BEP 23 compact answers, which are the default; compact=0 asks for
//     dictionaries, no_peer_id=1 leaves the ids out of them
//   - BEP 7 IPv6: peers6 beside peers over HTTP; over UDP the family of the packet
//     decides the family of the addresses in the answer
//   - BEP 15 over UDP: connect, announce, scrape
//   - BEP 48 scrapes over HTTP (GET …/scrape) and UDP. A scrape must name what it
//     asks for: nobody is told which infohashes there are
//   - BEP 52: the truncated hash of a v2 torrent is one more infohash of 20 bytes.
//     The two infohashes of a hybrid are two swarms
//   - BEP 31 "retry in" when an address asks too often
//
// The parameters trackerid, uploaded and downloaded, corrupt and the like are
// accepted and not used. No "tracker id" is sent, so none is expected back.
//
// # Whose address is handed out
//
// A peer is registered under the address that its announce came from: TCP and the
// connection id of BEP 15 prove that it receives there. A parameter ip, ipv4 or
// ipv6, or the IP field of a UDP announce, is a mere claim, and believing it would
// let anybody aim a whole swarm at a stranger. It is therefore ignored, unless the
// announce came from a loopback, private or link-local address: such a sender
// stands beside the tracker and its source address may be of no use to those
// outside. Even then the claim is an address more, it never replaces the proven
// one, and it must be a private or public unicast address. Host names are never
// looked up.
//
// A loopback address is handed only to askers on the tracker's own host, a
// link-local one only to askers that are local too, and an IPv6 link-local one
// only to askers which are link-local themselves, since a compact answer has no
// room for the zone.
//
// # Whom an asker is told of, and in which order
//
//  1. peers of the same host: the same address, or both on the tracker's host
//     (they came over loopback, or from the address that they reached)
//  2. peers of the same network: /24 of IPv4, /64 of IPv6
//  3. peers of the same class (loopback, link-local, private, public), those of the
//     asker's address family first; 100.64.0.0/10 counts as private
//  4. peers of the other classes that the asker can reach
//  5. the origin, always last
//
// Within each step the choice is random. Three things keep this from splitting a
// swarm into islands or hiding it behind invented peers: when more near peers
// (steps 1 and 2) exist than fit, one place in eight goes to peers beyond them;
// one place is kept for the origin wherever at least two are asked for (see
// [Config.OriginBelow] for crowds); and nobody is handed itself, neither its
// address nor its peer id. A seed is told of leechers only, and never of the
// origin, except when it starts: it may be a client that does not know yet what is
// left. The order is what our own peers read; others may shuffle.
//
// # Limits
//
// Everything a stranger can fill has a bound in [Limits]: swarms, peers, peers of
// a swarm, peers registered from one address, the table of announce rates. An IPv6
// /64 counts as one address. A full swarm, and a full tracker, replace the longest
// silent peers; an address over its number of peers is answered and not
// registered. An announce too fast is refused. Peers are forgotten two intervals
// and a minute after their last announce. An answer carries at most 200 peers, over
// UDP and IPv6 76, to stay in one packet.
//
// Before a sender has shown with a connection id that it receives at its address,
// UDP never answers with more bytes than it was sent. Connection ids are a keyed
// MAC over address and minute, so they need no table and cannot be guessed; one is
// good for at least two minutes and at most three.
//
// UDP packets that begin like a bencoded dictionary are the DHT's (BEP 5). They go to
// Config.Foreign, so that a node can have both on one port.
//
// # Owner
//
// A [Server] owns all its state behind one lock, starts no goroutine and runs no
// timer: what is due is forgotten on the next announce. The caller owns listeners,
// sockets and the http.Server; [HTTPServer] makes one whose time and size limits
// suit strangers. A proxy in front makes every peer look local: don't use one.
package tracker
