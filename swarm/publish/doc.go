// Package publish is the publisher's side: entries go into the writer's log, heads over
// it are signed, and only what is safely on disk leaves the house. [Log] keeps the log.
//
// [Publisher] pushes each new head to the channel's peers, offers it on the local network,
// and keeps it in the DHT as an item (package channel), the main writer together with the root
// document, a delegated one under its own key. At its start it asks peers and the DHT what it
// published before: peers can confirm the log; an item may be an old one that somebody put
// again, so it confirms nothing, but a head that the log does not contain stops the publisher before it signs a second history.
// What is only behind catches up; what forked is refused ([Publisher.Failed]) and repaired by
// a root document with a base.
//
// # Who publishes
//
// The main writer m holds the channel's keys and documents (package keyfile). It serves all
// root documents and every targets document that it granted. A delegated writer ([Guest])
// has a key of its own, learns the documents from peers as a follower does, and serves its
// own log. It may publish once the main writer's newest grant names
// its key, and no more when a later one does not.
//
// # The logs of others
//
// Every writer's node keeps the logs of the channel's other writers too, whole ([Copy]), as far
// as peers have them: judged as a follower judges news, the entries verified against heads that
// were. So mirrors and bundles have all writers, who follows finds all of them at each, and a
// writer of a private channel finds the read keys that m sends. What comes anew is passed on.
// The main writer's node teaches itself its own documents and grants first.
//
// # Documents
//
// An entry points to the newest of them (^, keys p and g), whoever wrote it: Publish sets
// that. [Publisher.Reload] goes over to newer ones, in this order, each step on disk before
// the next, so that whatever is interrupted is finished by the next start:
//
//	the log goes back to the base that they name (Log.Adopt)
//	the newest targets document is granted by an entry, unless the newest grant is it
//	the head is signed anew, by the keys in force, and sent to all peers with the root's version (r)
//
// So a grant that a base took back is given again, and who adds a writer needs only to put
// the signed document beside the keys. A newer root document that peers have, made by others
// who hold root keys, is handed to [Config].Newer.
//
// Where the root document asks for witnesses, a head is first signed here, then by them
// ([Witness], C2SP tlog-witness), and only then kept and published. Until then the entry is
// in the log, the error is [ErrCosign], and it is tried again every half minute.
//
// Where several keys must sign a head, one machine publishes, and asks those that have the
// others ([Holder]) in the same way.
//
// # A log on disk
//
//	entries        each entry behind its length, 4 bytes, big-endian
//	hashes         the hashes of the tree, 32 bytes each, in the order of tlog.StoredHashIndex
//	about-to-sign  the text of the head that is signed next, or was signed last
//	head           the last signed head
//	network        a head of this writer that came from the network and is ahead of the log, or another history
//	unconfirmed    there: the log was missing, so the network must be asked before anything is signed
//	base           the last base that was applied: size, root hash, again, since, done
//	withdrawn-…    entries that a base took back
//
// since is the time of the newest head that is known to be withdrawn and that the keys in
// force would still confirm: such heads are refused, and what is signed is signed later.
package publish
