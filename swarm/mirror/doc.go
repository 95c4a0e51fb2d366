// Package mirror puts a channel on a web server, and reads it there.
//
// A mirror is a directory of plain files, so that any web server can serve it. It is
// believed nothing: whoever reads it verifies everything, as from a peer. Below the base
// URL there is
//
//	ID/1.root.json, 2.root.json, …     the root documents, all of them
//	ID/targets/SHA256.json             targets documents, by the SHA-256 that a grant names
//	ID/WRITER/checkpoint               the newest head of a writer
//	ID/WRITER/update                   an update for strangers (signing.Update), at most 8 KiB
//	ID/WRITER/tile/L/N[.p/W]           hashes of the writer's tree
//	ID/WRITER/tile/entries/N[.p/W]     its entries, each behind its length in two bytes
//	ID/torrents/INFOHASH.torrent       what entries name
//	ID/files/INFOHASH/NAME…            the files, where the publisher has put them there too
//
// with checkpoint and tiles as https://c2sp.org/tlog-tiles has them, so that tools for
// transparency logs can read them. ID/files/INFOHASH/ is a web seed (BEP 19) for every
// BitTorrent client.
//
// All writers of the channel are there, as far as who writes the mirror has their logs; files
// are there of what its own node has. Of a private channel everything is there as ciphertext
// (package seal), and no key.
//
// # What is loaded
//
// A stranger loads root, checkpoint and update: some 10 KiB, however long the log is. Who
// comes back asks for the checkpoint with the validators of the last time (RFC 9110, 13.1),
// and gets nothing when there are no news, else the update. It has news of up to 8 KiB with
// it; who is farther behind also loads the tiles, of 8 KiB at most, that tell the hashes
// between: two or three. Older entries come 256 at a time.
//
// Worked example: in a log of 1000 entries the tree has the tiles 0/000, 0/001, 0/002,
// 0/003.p/232 and 1/000.p/3. Who holds 300 entries and has the update with the last 20 needs
// the compact range [300, 980): of tile 0/001 the nodes over 300–303 and so on up to 511, of
// 1/000.p/3 the node over 512–767, and of 0/003.p/232 those from 768 on.
//
// # Writing
//
// [Write] makes or brings up to date. Every file is written beside its name and renamed, and
// a file that stands there with the same bytes is not touched, so that web servers answer
// that it is unchanged. The order is: documents, files and torrents, tiles, update, and last
// the checkpoint, of the main writer last of all. Whenever it is stopped, what the
// checkpoint covers is there. Of the last, incomplete tiles those of the head before stay
// until the next time, for readers who are on their way.
//
// # Reading
//
// [Client] bounds whatever it reads, in size before anything is kept and in time while
// nothing comes; it follows at most 5 redirects, none from https to http and none from
// elsewhere to an address of this machine or its network. A mirror can withhold news, and
// show old ones; what it shows is signed, or is refused.
package mirror
