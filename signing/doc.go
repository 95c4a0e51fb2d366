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
// it lists public keys, Ed25519 or ECDSA on P-256, and for each role how many of which
// must sign. A beginner's channel has one key for the role root, one online key for
// targets, timestamp and snapshot, and one key for its items in the DHT (BEP 44). The
// document carries the field
//
//	"x-handful":{"title":"Demo","dht":"<base64 32>","max_age":{"m":86400},"private":true,
//	    "witness":{"need":1,"keys":["<C2SP verifier key>"]},"base":{"m":{"size":"1000","root":"<base64 32>"}}}
//
// with the title, the DHT key, the age in seconds beyond which news are late, whether
// the channel asks not to be announced in public, who must cosign heads, and [Base].
//
// A document N+1 is believed when the root roles of N and of N+1 have both signed it, so
// that keys can be replaced and nobody needs to be told. A follower keeps all of them and
// verifies the chain from the id on at every start.
//
// Documents have one spelling: keys sorted, no spaces, no escapes without need, integers
// only, below 2^53. Signatures are over the canonical JSON of the member "signed". What
// Handful refuses or tolerates other than go-tuf does is listed, and held to account, in
// signing/tuftest.
//
// # Other writers
//
// The timestamp role signs the heads of the main writer, m. Others are delegated by
// targets.json, a targets document of TUF without targets:
//
//	"delegations":{"keys":{…},"roles":[{"keyids":[…],"name":"alice","paths":["docs/*"],"terminating":true,"threshold":1}]}
//
// signed by the role targets. Names are those of [ValidDelegate]; a path is the name of a
// file, "*", or a directory and "/*" for all below it ([Writer.Allows], [Writer.AllowsTorrent]). The document is
// in force when an entry of m names its SHA-256 and version ([GrantEntry]):
//
//	d 1:^ d 1:g i<index+1 of the grant before>e 1:p i<root version>e e 1:h 32:<SHA-256> 1:t i<ms>e 1:v i<version>e 1:y 5:grant e
//
// Every entry of m points to the newest grant (^, g), so that nobody can keep one from a
// follower who has the newest entry. A grant whose version is lower than one before it,
// or the same with another hash, is passed over. Between a grant and its document
// no delegated writer is believed. A writer that is not listed any more is closed: the log
// ends where it was.
//
// # Going back
//
// A stolen key, or a fork, is repaired by a document that names other keys and a [Base]:
// the size and root hash of the tree that was good. Followers go back to it, once, mark
// what came after as withdrawn ([Trusted.Withdrawn]), drop the fork, and go on from there.
// A base stays in the documents that follow. Who does not hold its compact range asks
// anybody: it must hash to the base. If
// the keys stay the same, a follower refuses at least what was signed until the newest
// head that it knows to be withdrawn; strangers cannot tell, so keys should go too.
// Without a base the old head stays the floor when keys go, and is unconfirmed until the
// new keys sign.
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
//	contradicts a base                      withdrawn, not a fork: nobody is to blame
//	signed more than 10 minutes ahead       refused
//
// A fork is two histories under one signature: a thief, or a publisher who restored an
// old backup. Its proof is kept and convinces everyone who has the root; the writer is
// frozen, and what was verified before stays usable. [Evidence] is the proof as a file.
//
// What a writer's newest is worth is a [State], not an error: fresh; late, older than
// max_age; unconfirmed, since a document has expired or the keys of the head are gone;
// forked; withdrawn, since a document has taken it back or dropped the writer.
// [Standing] shows it with the date and the number of sources. Reading warns,
// [Standing.Install] refuses.
//
// The owner of a Trusted keeps it on disk before acting on what it returned; so a
// follower never falls back to older news, not by a restart either.
//
// # Files that prove
//
// All three are checked from the channel's id on, without a network, and do not age:
//
//	[Trusted.Bytes]  what a follower holds, one file a channel
//	[Evidence]       that a writer forked
//	[Proof]          that an entry was published: a C2SP tlog-proof with its documents
//
// # Making and signing documents
//
// [Root.Edit] makes the next root document, [Root.Explain] says in plain words what it
// changes, also from the payload alone ([ParseRootPayload]), and [Root.Attach] takes the
// signature of whatever program holds a key, and finds out which:
//
//	openssl pkeyutl -sign -rawin -inkey a.pem -in 2.root.payload -out a.sig     Ed25519: 64 bytes
//	openssl pkeyutl -sign -rawin -digest sha256 -inkey a.pem -in …              ECDSA in DER
//	minisign -S -l -s a.key -m 2.root.payload                                   legacy: over the bytes, not their hash
//	signify -S -s a.sec -m 2.root.payload -x a.sig
//	ssh-agent, SSH_AGENTC_SIGN_REQUEST over the payload                         the signature blob of the answer
//
// [Root.Lacking] counts what is still needed by the old keys and by the new.
//
// # Limits
//
// Before anything is allocated by their measure: head 4 KiB and 16 signature lines, entry
// 48 KiB, update and page 56 KiB, root document 64 KiB, targets document 256 KiB with
// bases of at most 128 writers, all root documents of a channel 16 MiB, a state 128 MiB
// with heads of at most 256 writers, a signature or key of another program 16 KiB, sizes,
// versions and times below 2^53, no range above 106 hashes. Signatures of unknown keys do no harm and do not
// count. Two signatures by one key count once, under whatever names the key stands.
//
// # Attacks
//
// Each is a transcript testdata/attacks/NAME.txtar, or the test that is named; guards_test.go
// takes out the check that keeps it out, and sees it succeed.
//
//	forged or altered head, entry, root      forged-head bit-flip forged-entry root-flip
//	an older head replayed                   rollback-head rollback-after-restart
//	root document rolled back or skipped     root-replay root-skip restart-chain
//	news withheld                            freeze-late heartbeat-fresh expired-root relay-without-entries
//	mixed up: channels, writers              other-channel other-writer wrong-writer
//	a thief runs ahead                       fast-forward-recover base-elsewhere delegated-base rotation-keeps-floor
//	two histories; one rewritten             fork-same-size fork-longer fork-smaller fork-at-power-of-two fork-repair
//	a relay lies about a true head           bogus-proof
//	too few root keys                        root-one-of-two root-revoked-plus-one
//	a signature or key counted twice         dup-signature dup-key TestDupSignature
//	revoked and ungranted writers            writer-revoked ungranted grant-missed grant-elsewhere targets-expired
//	old targets documents, stolen their key  targets-replay targets-key-dropped targets-key-replaced
//	a head dated ahead                       future-head
//	the DHT flooded                          dht-poison
//	endless, deep, malformed data            malformed/head malformed/root malformed/update, and the fuzzers
//	an old channel shown at first contact    first-contact, and TestPortsAreNoSources in swarm/follow
//	a restored backup                        restore-refuses, and TestRestoreRefuses in swarm/publish
//	a newcomer who sees one liar only        eclipse install-fresh
//	a writer with two faces                  witness-required
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
// With the online key: publish, and say who else may, until a new root names another key
// and takes the log back. What was published before cannot be changed or removed unseen:
// that takes a second history, and any two followers who meet hold the proof. A newcomer whose every source the thief controls
// can be shown such a history; asking several sources and showing the date limits that.
//
// With the key of a delegated writer: publish as that writer, under that writer's paths,
// until the main writer grants another document.
//
// With the targets key alone: nothing, as long as nobody with the head key grants what it
// signs.
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
