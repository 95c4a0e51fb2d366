// Package channel carries the news of a channel between peers: it asks, answers
// and collects, and decides nothing about trust.
//
// Peers of a channel meet under an infohash that follows from its id
// (signing.ID.Swarm) and speak the BEP 10 extension "hf_head". A message is one
// strictly bencoded dictionary. Asks have a key q, answers a key r; an answer may
// also come unasked, which is how news is pushed.
//
//	ask    d 1:n i<size>e 1:q 3:upd 1:w <writer> e            the update from that many entries on
//	       d 1:n i<version>e 1:o i<offset>e 1:q 4:root e      a root document, from that byte on
//	       d 1:i i<first>e 1:n i<size>e 1:q 4:page 1:w <writer> e   entries, proven against a tree of n
//	       d 1:n i<size>e 1:q 5:range 1:w <writer> e          the compact range [0, n)
//	       d 1:h <SHA-256> 1:o i<offset>e 1:q 3:tgt e         a targets document, from that byte on
//	answer d 1:r 3:upd 1:v <update> 1:w <writer> e
//	       d 1:n i<version>e 1:o i<offset>e 1:r 4:root 1:t i<total>e 1:v <bytes> e
//	       d 1:r 4:page 1:v <page> 1:w <writer> e
//	       d 1:n i<size>e 1:r 5:range 1:v <32 bytes each> 1:w <writer> e
//	       d 1:h <SHA-256> 1:o i<offset>e 1:r 3:tgt 1:t i<total>e 1:v <bytes> e
//	       d 1:r 4:fork 1:v <signing.Fork> 1:w <writer> e     never asked for
//	       d 1:g i<targets>e 1:n i<size>e 1:o i<first>e 1:p i<root>e 1:r 3:has 1:t i<time>e 1:w <writer> e
//	                 never asked for: the sender has a head over n entries, signed at t, and those
//	                 from o on, by versions p and g of the documents (no g: no targets document)
//	       d 1:o i<seconds>e 1:r 4:here 1:t i<Unix ms>e 1:v <signature> 1:w <writer> e   never asked for:
//	                 a node of the writer was here at t, as its key says; with 1:x i1e it has
//	                 left. The sender heard it o seconds ago
//
// An ask upd may have 1:l i<bytes>e, the most that the answer should have; an ask page
// 1:c i<entries>e: then as many pages come as that takes, at most 32.
//
// Worked example: d1:ni0e1:q3:upd1:w1:me asks, as a stranger, for the news of the
// main writer.
//
// A peer that knows no answer gives none. Everybody answers with what he holds: the
// publisher with all root documents and all targets documents that were granted, a follower
// with all root documents and the targets document in force. Documents travel in parts of at
// most 32 KiB and are put together per peer, one of each kind at a time, of at most
// signing.MaxRoot and signing.MaxTargets bytes; a targets document that has not the hash
// that was asked for is dropped. Each peer may ask a few dozen times a second; what is above
// that is dropped.
//
// # How news spread
//
// A writer's node tells its news to four peers, what follows within a quarter of a second
// together and then, and whoever accepts them to three more, those
// that are not known to have them first, and the writer's own node never where there are
// others. 100 ms later all who have connected to it and are not known to have them, and at least
// four, are told by has that they are there (by the writer's node: four, after 1 s). Whoever learns that something is missing waits 50 ms for it to come by itself and
// asks one peer then, after a second another. Every 1.5 to 4.5 s each node tells one
// peer what it holds, as it tells every peer that joins: so what was lost is found, without
// anybody keeping account of messages. Who has the newer documents has more, whatever the
// sizes are, since a document may take a log back; then come size and time. So a new document,
// and a base, reach whoever was behind in one round.
//
// # Who is around
//
// A writer's node says every 30 s that it is there, and once that it leaves. Its key signs
// that ([signing.Presence]), so nobody can say it for another, and who passes it on need not
// be believed; it is passed on as news are, by everybody who has verified it, and told to
// whoever joins. A writer counts as around for 90 s after it was heard, whereby what a peer
// says that it heard long ago counts less; nothing is believed that was signed more than 10
// minutes ago by the own clock, or before what is known, so a replay keeps somebody around for
// that long at most, with whoever has heard nothing newer. Of one writer four words are
// taken at once and one each 5 s, of a peer 256 and 10 a second; what is not newer costs no
// look at its signature, and only what verifies is kept, one word a writer.
//
// This is told to every member of the swarm, and to nobody else: neither to the DHT, nor to
// trackers, web servers or the local network. A node can be told not to say it. A
// follower says nothing: others see a connection, count it, and know no name. How many
// there are beside the writers is what each node sees connected with itself; nobody is
// asked for it, and it may be fewer than there are.
//
// # Items in the DHT
//
// Mutable items of BEP 44 carry news to who can meet nobody. Under the salt of a writer's name
// stands an update for strangers (signing.Update, from 0 entries on) of at most 1000 bytes: with
// the newest entries if they fit, else the head alone. Its seq is the head's time, or one more
// than the seq before where that is not higher; its key ih points BEP 46 clients to the newest
// torrent. Under the salt root stands the newest root document, deflated (RFC 1951) into a
// string, with its version as seq.
//
//	key                        salt           signed by
//	the channel's DHT key      m, root        the main writer's node
//	a key of writer NAME       NAME           that writer's node
//
// The DHT key stands in the root document. It is not for the other writers, so each signs
// with the key that signs its heads, which the targets document names: what is signed for the
// DHT begins with "4:salt" and can be no head. Whoever finds the newest puts it again. Who
// holds such a key can hide news or point to old ones; that they are the channel's is proved by
// what is inside.
package channel
