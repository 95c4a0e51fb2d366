// Package follow is the follower's side: news from any source goes through [Trust],
// which keeps on disk what was believed, before anything is done about it.
//
// # What a follower asks for
//
// Who joins is asked for the root document behind the newest one, for documents that are
// known to be missing, for the news of each writer, and for entries that somebody waits for;
// and is told of forks. Later news lead to questions:
//
//	a newer root document (an update or entry names its version,
//	    or a head is by keys that are not known)          asked of who says so, then of all
//	a grant, and the targets document that it names       asked of all until somebody has it
//	an update that does not continue what is held         the update from the size that is held
//	one that contradicts it                               its sender's range: a fork, or a lie
//	a smaller one                                         is answered with what is held
//
// What is accepted is passed on. A new root document is passed on by its version, in an
// update; the proof of a fork as it is, to all. When a document takes entries back, what was
// verified of that history is forgotten, and everybody is asked for news again.
//
// Writers are m, those whom the targets document in force grants, and those of whom something
// is held. The log of one who was revoked ends where it is.
//
// # First contact
//
// Of a writer of whom nothing is known the updates of three sources are collected, or what
// comes within 3 s of the first one. The largest that verifies is taken and the others are
// held against it. One source counts once, whatever it says: an IPv4 address or an IPv6 /64,
// whatever ports are open there, the host of a mirror, or the DHT. Whoever names an entry ([Follower.Find]) takes the first head that covers it.
// [Follower.Standing] says how many sources showed nothing newer than what is believed.
//
// # Reading
//
// [Follower.Read] hands on all entries of all writers, of each in order, and asks for what is
// missing in pages, of peers that say that they hold it, the writers' own nodes last. An [Inbox]
// takes them into an archive, and each of its readers has a place of its own in it, so that none
// misses an entry over a crash. The first meeting takes the newest 50 of each writer; what
// came before is asked for when somebody wants it ([Follower.Older]), and not kept. Beside the
// archive an Inbox keeps what came as it stands in the logs, bundles of 256 entries with what
// proves them, under the same bounds: so whoever reads a channel serves all that it keeps of
// it, to strangers too, when the writer is gone, in pages that whoever gets them verifies
// against the writer's signed head. That is the whole of a long history's way; no torrents
// of it are made, since what is asked for in pages comes newest first, from whoever has it,
// and a hundred thousand posts are some 25 asks. What a document takes back goes from the
// archive, and readers who were beyond it go on with what takes its place, over a restart
// too: a file beside their places says what was taken back ([Inbox.TakenBack]).
//
// # Who is around
//
// [Follower.Around] names the writers whose nodes prove that they are in the swarm, by the
// documents in force, and counts the other peers that are connected here (package channel).
// A follower tells no name of its own, and says nothing of what it follows elsewhere.
//
// # The local network
//
// Offers of the local network are news like any other ([Follower.Hear]), and their senders are
// peers to meet. What a follower believes it offers itself, 1 to 5 s later, so that the
// many followers of one network do not all say at once what its writer has just said: not for
// a minute if two others have said it by then.
//
// # Sources
//
// Sources are the peers of the channel's swarm, and the channel's items in the DHT
// (package channel says what they are). An item is asked for when its key is known: the channel's
// from a link or from the root document, those of other writers from the targets document.
// They are asked for at once, after 2 minutes, 4, and so on up to half an hour, of other
// writers 32 at a time in turn, and what was found to be the newest is put again, 64 items of a
// channel at most, so that every follower keeps them alive. An item counts as one source; it never
// ends the listening of the first contact alone. Where more has come since than its update can
// go on from, a peer has to be met. A channel that turns out to be private is taken out of the
// DHT, and so is a writer who was revoked.
//
// Mirrors on web servers (package mirror) are asked like peers, and for news after a minute,
// two, and so on up to eight; those on one host are one source. A bundle (package bundle) is
// read from its beginning to its end and judged on the way ([Follower.TakeBundle]).
//
// # Crashes
//
// The state is one file ([Trust]). It is replaced durably before a call that changes it
// returns, so whatever was passed on, shown or fetched is there after any crash; what was not
// is asked for again.
package follow
