// Package swarm is the running node: it moves bytes between peers.
//
// # Parts and owners
//
//	          commands                       events
//	caller ───────────▶  Node (one loop)  ───────────▶ Config.OnEvent
//	                      │   owns items, address books, grants
//	      adds, peers     │   ▲ mailbox: what happened, as values
//	                      ▼   │
//	                     engine (torrent.Client)   ◀──── front: one TCP port for
//	                      │   callbacks: copy, post,      BitTorrent and HTTP
//	                      ▼   return
//	                     store.Content: bytes on disk, SHA-256
//
// The loop goroutine owns all state of a Node unless the field says otherwise.
// Others send it a function and wait, or post a value. The engine's callbacks run
// under the engine's own lock: they copy what they need, post it and return; the
// only decision made there is what a peer may be seen to have (mask.go), because
// a message must be rewritten before the engine acts on it.
//
// # Items
//
// An Item is one torrent of this node. Its states, in order:
//
//	metadata   the info dict is asked of peers (BEP 9); SHA-256 is checked when known
//	layers     piece layers are asked of peers, so that pieces can be checked with SHA-256
//	checking   what is on disk already is verified
//	fetching   pieces arrive
//	finishing  everything is verified; fsync, modes, links, rename into place
//	seeding    complete
//	failed     see Item.Err
//
// # The DHT
//
// With Config.DHT a node takes part in the DHT (package mainline), on the UDP port of its
// TCP port's number. Where the embedded tracker reads that port, packets that begin like a
// bencoded dictionary are the DHT's. Every item that is neither private nor unlisted is
// announced there, swarms without content too, and who is found goes into its address
// book. Of a torrent without metadata it is not known yet whether it is private.
//
// # Who dials whom
//
// An item dials whom it learns of, and not when it is complete, but for who speaks up on
// the link. Where eight or more are known, the two of a pair agree by a hash of both
// addresses on who dials first, and the other does 0.1 s later if nothing has come
// (meet.go): else a crowd that starts at once makes each connection twice. Whom the user
// names is dialled at once.
//
// # Web seeds
//
// A web server that has the files (BEP 19) is the last tier. It is asked for pieces that
// no peer here has, 2 s after the download began, each by the member whose turn it is
// (webseed.go), for all when peers have delivered nothing for 9 s, and for nothing while
// an origin is there that delivers. Pieces are read by ranges of up to 8 MiB, or, from a
// server that knows no ranges, out of whole files, verified with SHA-256 before they are
// written, and counted as [TierWebSeed]. A server with three wrong pieces is given up. The
// torrent file is asked for on the web when peers have not told the metadata for 2 s.
//
// # The wrapped connection
//
// Every connection of the engine is a tap (tap.go), the place where this node's
// upload is scheduled. What the engine writes is taken apart into messages. Blocks
// (Piece) wait for a turn of the uplink, one of each connection after the other, but
// every third turn is that of a piece of which this node has sent no copy yet;
// everything else overtakes them. The uplink (uplink.go) lets as many bytes be
// outstanding in the sockets as the line carries in its round trip time and 40 ms,
// measured by what peers acknowledge, for the link and beyond it apart, and writes no
// faster than that line; but an origin, for which everybody waits, keeps a queue of 90 ms
// in front of its line. In each of the two it also keeps the limit of
// the rate. What waits here can still be
// cancelled, and a Choke takes it back. While there is room and nobody waits, what
// the engine writes goes straight through. Haves of no urgency are held for a second,
// within a site until nothing else is to be sent, and sent together, without those that
// the peer has by then; the Bitfield and the
// Haves of an origin can be concealed and its pieces be revealed one by one (BEP 16).
//
// In the other direction a tap puts this node's own messages between those of the peer:
// the engine acts on a Have or a Bitfield that it hears in this way as if the peer had
// sent it. Of a message that has begun, the rest is waited for as a whole where the system
// can do that. A piece that is shown at one peer alone is asked for as a whole at once, and
// what comes before the engine asks is kept until it does (ahead.go). Both directions stop
// at obfuscated streams that the engine itself began: these pass untouched, and nothing
// can be heard there.
//
// # Accounts
//
// Payload is counted by the tier that its sender had when it was read. When a piece
// verifies, its senders go into the item's ledger with the reason for which package
// policy showed it there (explain.go): the sums of the ledger and what was wasted are
// what was received. It is kept until the item is removed, at most 65536 accounts,
// and names peers that have left. GET /status on the node's port answers programs of
// this machine with the snapshot as JSON (status.go): who asks from elsewhere, or for
// a host that is no loopback address, is refused. There are no paths in it, and no
// infohash of a private torrent.
//
// # Messages of our own
//
// They travel as BEP 10 extensions. The extended handshake names "hf_swarm", and
// "hf_origin" beside it when the sender is the publisher's own seed, so that the
// role is known before the first bitfield. An hf_swarm payload is one byte of kind
// and a body:
//
//	0 hello      bencoded {l: site label, m: 32 bytes, v: 1}; m is
//	             SHA-256(machine id ‖ infohash): equal on one machine, and says
//	             nothing to anybody else
//	1 grant      piece indexes, 4 bytes each, big endian: the origin lets the
//	             receiver see these pieces
//	2 hungry     piece indexes: the sender can get these from nobody else
//	3 ask layer  bencoded {o: offset, r: pieces root}
//	4 layer      bencoded {o: offset, r: pieces root, t: total bytes, v: bytes};
//	             t = 0: not known here
//	5 ready      no body: the sender has opened its storage and can use grants;
//	             what it has already it has told with the messages of BEP 3
//	6 ping       8 bytes, of the sender's choice: an answer is asked for
//	7 pong       the 8 bytes of the ping; or zeros, unasked: the sender is alive and
//	             has nothing to say
//	8 ask path   no body: where are your files? Sent to, and answered for, peers
//	             on this host only (TierHost, or an origin that would be)
//	9 path       bencoded {a: 1 if the sender has every piece, d: absolute path of
//	             the torrent's file or directory} or, for a tree gathered from
//	             several places, {a, t: {first element of a path: absolute path}};
//	             {} if there is none. Sent again when the files have moved. The
//	             receiver takes pieces out of these files, see hostcopy.go
//	10 offer     piece indexes: the sender has these, and room on its line for as many
//	             requests; the receiver may ask for other pieces instead
//	11 pass      piece indexes: these were offered, and there is nothing to ask for
//	12 pace      bytes/s that the sender's line to the receiver carries, 4 bytes, big
//	             endian; 0: not known. Said when it becomes known and when it has become
//	             twice or half as much (pace.go)
//
// Worked example: 01 00000007 grants piece 7.
//
// A peer of which no byte comes for 2.3 s is sent a ping, if this node waits for
// anything of it; after 7 s its connection is closed and dialled again, and the next
// time more silence is allowed (ping.go). Round trips of pings tell neighbours from
// far peers; to who is on the same link anyway the first is measured 2 s later.
//
// Everything in them is a hint or is checked: a layer against its pieces root,
// pieces against SHA-256. A peer that lies about the rest costs time only.
package swarm
