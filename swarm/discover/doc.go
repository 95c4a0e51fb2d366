// Package discover finds peers: on the local network by multicast, through
// trackers, and from what is remembered of earlier runs. It moves addresses and
// opaque payloads only; who may be believed is decided elsewhere. It knows
// nothing of torrents' content, of channels, or of the engine's client.
//
// # On the local network
//
// [LSD] sends and hears two kinds of datagram, each to a group of its own, in
// IPv4 and IPv6, on every interface that is up and can do multicast, and on
// loopback:
//
//	local service discovery (BEP 14)   239.192.152.143:6771  [ff15::efc0:988f]:6771
//	offers, our own                    239.192.104.102:6772  [ff15::6866]:6772
//
// Groups are joined and datagrams sent interface by interface, so that neither a
// default route nor any route at all is needed. The interfaces are looked at
// again every 15 s, sooner after an error; what appears later is used from then
// on. TTL and hop limit are 1, multicast loopback is on, and the ports are
// shared (SO_REUSEADDR, SO_REUSEPORT), so that several nodes and other clients
// live side by side on one machine. What is not sent to a group, not heard on an
// interface in use, or claims to come from outside that interface's prefixes is
// dropped.
//
// A BEP 14 announcement names up to 20 infohashes:
//
//	BT-SEARCH * HTTP/1.1\r\n
//	Host: 239.192.152.143:6771\r\n
//	Port: 6881\r\n
//	Infohash: 0123456789abcdef0123456789abcdef01234567\r\n
//	cookie: 5f3a9c01\r\n
//	\r\n
//	\r\n
//
// It is sent at once when an infohash is added or an interface appears, again 1 s
// and 4 s after that, then every 5 minutes. When a peer that was not known yet
// announces one of our infohashes, ours is announced once more within 250 ms, but
// not sooner than 3 s after we last did, and not when 8 others have answered
// meanwhile: so a newcomer need not wait, and a crowd does not shout.
//
// A datagram of the second group is an offer (see [Offer]), strict bencode of at
// most 1200 bytes,
//
//	d1:i40:<channel id>1:pi<port>e1:u<len>:<update>1:w<len>:<writer>e
//
// or the query
//
//	d1:q6:offerse
//
// by which somebody who has just started asks everybody to repeat their offers
// within a random 0 to 250 ms. An offer is sent at once when it changes, then
// with doubling distances up to one minute.
//
// # Trackers
//
// [Announcer] announces infohashes to HTTP and UDP trackers (BEP 3, 7, 15, 23)
// with the events started, completed and stopped. It honours a tracker's
// interval, but never less than 30 s, and backs off from one that fails; how each
// one is doing can be shown ([TrackerState]).
//
// Certificates of https trackers are not checked: a tracker is never believed
// anyway, the worst it can do is name useless peers.
//
// # The DHT
//
// See package mainline.
//
// # Which addresses are near
//
// [Links] says which prefixes the machine's interfaces are in and whether an
// address is inside them.
//
// # Earlier peers
//
// [Known] remembers addresses of peers over restarts. It is a pure value which
// its owner keeps where it likes.
package discover
