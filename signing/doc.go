// Package signing says who may publish in a channel, and what is newest.
//
// It is pure: documents, messages and the time come in, verdicts and states go out. It
// reads no file, knows no network, and asks no clock. What it must know about entries
// is in their keys y (kind) and ^ (pointers); what else they say is package manifest's.
//
// # Who is who
//
// A channel begins with its root document, 1.root.json. It is a root document of The
// Update Framework (TUF 1.0.31, https://theupdateframework.github.io/specification/):
// it lists public keys, and for each role how many of which must sign. A beginner's
// channel has one key for the role root, one online key for targets, timestamp and
// snapshot, and one key for its items in the DHT (BEP 44). A document N+1 is believed
// when the root roles of N and of N+1 have both signed it, so that keys can be replaced
// and nobody needs to be told. The document carries the field x-handful: title, dht
// key, the age beyond which news are late, witnesses.
//
// Documents have one spelling: keys sorted, no spaces, no escapes without need, integers
// only, below 2^53. Signatures are over the canonical JSON of the member "signed".
//
// # The name of a channel
//
// The id of a channel is a hash of the signed part of its first root, so it can be
// checked without asking anybody, and stays when keys go:
//
//	H  = SHA-256("handful-id/v1\0" ‖ canonical JSON of signed)[:22]
//	C  = SHA-256("handful-sum/v1\0" ‖ 0x01 ‖ H)[:2]
//	id = base32, lower case, of 0x01 ‖ H ‖ C: 40 characters
//
// C catches typing errors. Followers and publisher meet under the infohash
// SHA-256("handful-swarm/v1\0" ‖ H)[:20], which does not tell the id. A [Link] is an id
// with hints.
//
// # What is newest
//
// What a writer publishes is a list that only grows: the log. Its entries are the
// leaves of the Merkle tree of RFC 6962. A head says how many entries there are and what
// the root hash over them is, and is signed by the keys of the role timestamp: a
// checkpoint of C2SP (https://c2sp.org/tlog-checkpoint) with cosignature/v1 lines
// (https://c2sp.org/tlog-cosignature), which carry the time of signing. Signed again
// without news, it proves that there are none. The origin binds channel and writer.
//
// An update carries news on every path. It has a head, the newest entries, and the
// compact range (the fewest subtree hashes) that covers what lies between the size the
// receiver is expected to have and those entries. The receiver appends both to its own
// range; if that hashes to the signed root, the new log continues the old one, and each
// entry stands where it is said to stand. There is no other proof, and for somebody who
// is up to date it costs no byte.
//
// A page has entries from anywhere in the log, with the ranges before and behind them.
//
// # What a follower believes
//
// [Trusted] keeps, for each channel, all root documents from the first on, and for each
// writer the newest head, its range and the newest entries. It takes news from anybody:
//
//	larger, and continues what is held      accepted
//	larger, cannot tell                     ask for the update from my size
//	larger, does not rebuild the root       ask the sender for its range before it: if that
//	                                        rebuilds the root, a fork; else the sender lied
//	same size, same root, newer time        accepted: a heartbeat
//	same size, another root                 a fork
//	smaller                                 older: answer with what is held; a fork, if the
//	                                        held entries tell that it is another history
//	signed more than 10 minutes ahead       refused
//
// A fork is two histories under one signature: a thief, or a publisher who restored an
// old backup. Its proof is kept and convinces everyone who has the root; the writer is
// frozen, and what was verified before stays usable. Late and unconfirmed ([State]) are
// states, not errors: reading warns, installing refuses.
//
// The owner of a Trusted keeps it on disk before acting on what it returned; so a
// follower never falls back to older news, not by a restart either.
//
// # Limits
//
// Before anything is allocated by their measure: head 4 KiB and 16 signature lines, entry
// 48 KiB, update and page 56 KiB, root document 64 KiB, sizes, versions and times below
// 2^53, no range above 106 hashes. Signatures of unknown keys do no harm and do not
// count. Two signatures by one key count once, under whatever names the key stands.
//
// # An example
//
// The keys are Ed25519 with the seeds 32 × 01 (root), 32 × 02 (online), 32 × 03 (DHT);
// testdata/vectors.txt has every byte. The channel is
//
//	handful:ahrg7ggclmqcednqwa4qzt2xwxzyganzdobwpb3w
//
// After three entries its head reads
//
//	handful/ahrg7ggclmqcednqwa4qzt2xwxzyganzdobwpb3w/m
//	3
//	pIEBH+4Z8x/tpIqZR5LnmXiQeNWqH6PbeRdqJx+w/DE=
//
//	— handful/ahrg7ggclmqcednqwa4qzt2xwxzyganzdobwpb3w/m pLblUQAAAABpSSB4GhSwK6Z09cLNUMYRtRy3Qk2Z20VTtVGwRUvjNVjy67796iV/v1mPgnyWugisKq4UmzD51qjcEX2id63mLKOyBw==
//
// where the last line has in base64 the first 4 bytes of SHA-256(name ‖ "\n" ‖ 0x04 ‖
// key), the time 1766400120 in 8 bytes, and a signature over
//
//	cosignature/v1
//	time 1766400120
//	handful/ahrg7ggclmqcednqwa4qzt2xwxzyganzdobwpb3w/m
//	3
//	pIEBH+4Z8x/tpIqZR5LnmXiQeNWqH6PbeRdqJx+w/DE=
//
// Somebody who has two entries gets the third in an update of 336 bytes:
//
//	d 1:c 259:<the head> 1:e l 48:d1:^d1:pi1ee1:ti1766400120000e1:x3:Bye1:y4:poste e 1:n i2e 1:r i1e e
//
// # What a thief can do
//
// With the root key: everything, for ever, as the owner could. It need not be on any
// machine that runs; keep it apart, and back it up, since without it a stolen online key
// cannot be replaced.
//
// With the online key: publish, until a new root names another key. What was published
// before cannot be changed or removed unseen: that takes a second history, and any two
// followers who meet hold the proof. A newcomer whose every source the thief controls
// can be shown such a history; asking several sources and showing the date limits that.
//
// With the DHT key: point followers to where nothing is, or to older news. They believe
// neither, and have other paths.
//
// With a follower's state: learn what is followed. Who can write to it can take the
// follower back to older, truly signed news, and no further.
//
// With the publisher's log: learn what was published and what is about to be. Who can
// take it back to an older state can make the publisher fork itself, unless the network
// shows it its own newest head first (package swarm/publish).
//
// Who controls every path of a follower can withhold news, not forge them: the channel
// shows as late.
package signing
