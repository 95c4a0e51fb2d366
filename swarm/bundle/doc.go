// Package bundle is a channel in a file: news and files that travel on a stick, where no
// network is. A bundle is a peer that answers nothing: whoever reads it verifies
// everything as from a peer, and believes none of it otherwise.
//
// # Format
//
//	handful-bundle/1 LF, then records
//	record  header, and body if its kind has one
//	header  a bencoded string with a bencoded dictionary, y being its kind
//
//	chan   d 2:id 25:<channel> 1:y 4:chan e                          the first record
//	root   d 1:v <root document> 1:y 4:root e                        version 1, 2, …
//	upd    d 1:v <signing.Update> 1:w <writer> 1:y 3:upd e           for strangers
//	leaf   d 1:i <first> 1:n <bytes> 1:w <writer> 1:y 4:leaf e body  hashes of entries, 32 bytes each, from an index on
//	page   d 1:v <signing.Page> 1:w <writer> 1:y 4:page e            towards the head of the writer's upd
//	tgt    d 1:v <targets document> 1:y 3:tgt e
//	item   d 1:i <index> 1:n <bytes> 1:p <signing.Page> 1:v <metainfo> 1:w <writer> 1:y 4:item e body
//	end    d 1:n <records before it> 1:y 3:end e                     the last record
//
// The body of an item is its pieces in their order, each of the length that the torrent
// gives it; its page proves the entry that names the torrent.
//
// Order: chan; all root; for each writer, the main one first, upd and leaf, behind the main
// one's the pages of grants and tgt; then pages; then items; end. What comes in
// another order is judged as it comes, and mostly cannot be.
//
// Worked example: a bundle of nothing is the 82 bytes
//
//	handful-bundle/1 LF 43:d2:id25:<25 bytes>1:y4:chane 16:d1:ni1e1:y3:ende
//
// # Private channels
//
// Entries and content of a private channel are in it as they are in the log and in the swarm:
// encrypted (package seal), and proven all the same. The read key is in no record. Who takes it
// in without a key keeps it and passes it on; who has the key reads entries and files.
//
// # Why not tar
//
// A tar has names, modes, links and several ways to say each of them, all of which a reader
// must be safe from; here nothing names a path: where a file goes is decided by a
// torrent that an entry has vouched for. Its numbers end at 8 GiB without extensions. It
// can be cut between two members and nobody would notice, while a bundle ends with end. And
// every header here has one spelling: what [Reader] takes, [Writer] prints.
//
// # Bounds
//
// A reader keeps one header at a time, of at most 64 MiB and 64 KiB where metainfo is in
// it, else of 320 KiB; memory grows with what has really come, not with what a length
// claims. Bodies are streams. At most 2^40 records are read; numbers are below 2^53.
//
// # What a thief of a bundle can do
//
// Learn what is published in the channel, and read it. Who changes a bundle can make it
// fail, leave out news, or go back to older ones; who has a later state refuses those.
package bundle
