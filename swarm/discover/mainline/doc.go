// Package mainline is a node of the DHT of BitTorrent (BEP 5, 32, 43, 44, 46): it finds
// peers of an infohash and announces ours, keeps small signed items in the network and
// finds their newest, and does the same for others. Nothing that it brings is to be
// believed: addresses may lead nowhere, and of an item only the key's signature is checked.
//
// It is a package of its own beside discover, because the DHT is the one way of discovery
// that serves strangers, and because only here is the DHT library used.
//
// # Parts
//
//	          Announce, Get, Put, Keep
//	caller ───────────────▶ Node ── walk ──▶ dht.Server ──▶ guard ──▶ socket
//	                         │ table          questions       │
//	                         └◀───────────── server ◀─────────┘ questions of others
//
// The library (github.com/anacrolix/dht/v2) sends questions, matches answers and bounds
// the rate; each node has a limiter of its own. What it would do with the rest of the
// network's packets is done here, because there it is not proof against them: the guard
// (guard.go) parses each packet, drops what is not in the one spelling of bencode, is
// larger than 4 KiB, or lacks what its kind must have, and prints the replies anew before
// the library sees them. Questions of others never reach it.
//
// # Walks
//
// To find the nodes nearest to a target, those that are known are asked for nearer ones,
// and these in turn (walk.go). A walk goes 4 ways at once. A way knows what the nodes that
// it asked have named, and no node is asked by two ways: whoever answers with ever nearer
// nodes leads one way astray, and the others arrive. A way asks at most 32 nodes, of which
// at most 12 may be silent, keeps at most 64, takes at most 8 of each family out of an
// answer, asks at most 4 of one public address, and does not follow a node outside to
// private addresses. A question is waited for 1.5 s, a walk 30 s. What is put goes to the
// 8 nearest of all, and to 3 of each way.
//
// # Items
//
// A mutable item (BEP 44) has an Ed25519 key, a salt of up to 64 bytes, a seq and a bencoded
// value of up to 1000 bytes. It is kept near SHA-1(key ‖ salt). The key signs
//
//	4:salt6:foobar3:seqi1e1:v12:Hello World!
//
// for the salt foobar, seq 1 and the value 12:Hello World!, and without "4:salt6:foobar"
// for no salt. Who has an item can put it again, whoever signed it. A value that is a
// dictionary with the key ih of 20 bytes points to a torrent (BEP 46).
//
// [Node.Get] reports each better item at once, and at the end the newest one. [Node.Keep]
// puts an item a second after it came, at most once a minute, and again after 2, 4, 8 minutes and so on up to an
// hour; nodes forget items after two.
//
// # Peers
//
// [Node.Announce] asks for peers at once, after 30 s, 1 min, 2 min and so on up to 15 min
// (beginning with 5 s for who has nothing yet), and then announces our TCP port to the nodes that it met.
//
// # The table
//
// Nodes that answered are kept in buckets of 8, by how many leading bits their ids share
// with ours. Two questions in a row without answer, and a node is forgotten. One that
// asks us is asked something before it is believed to exist. Of one public address two are
// kept; in a full bucket a node whose id fits its address (BEP 42) takes the place of one
// that does not; addresses of private networks fit any id. With fewer than 8 nodes,
// bootstrap nodes and those of the last run are asked, with doubling distances from 2 s to
// 10 min; with neither, nothing is ever sent. A node that was silent for 10 min is asked,
// and after 5 s, 10, 20 and so on up to 15 min there is a walk to our own id and one to
// where least is known.
//
// The file of the table is replaced whole every 15 min and at the end: strict bencode
//
//	d 2:id <20> 5:nodes <26 each> 6:nodes6 <38 each> e
//
// of at most 200 nodes, and its SHA-256. Its nodes are where to ask first, no more. A thief
// learns whom the node has met; who can write to it can surround the node with liars, until
// one honest node is met by another way.
//
// # What is kept for others
//
// In memory: 1000 items for 2 h, 100 of one public address; peers of 1000 infohashes for 45
// min, 60 of each, of which 4 may be of one public address: several people may live behind
// one router, and within private networks any number. Both ask for a token, which shows that
// the sender receives at its address. 50 questions a second of one address are answered, 500
// of all.
package mainline
