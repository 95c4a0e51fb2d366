// Package manifest says what is published: torrents, which are files and
// directories with the hashes that prove them, and the entries of a channel. It
// knows no network, no keys and no clock; only Build reads files.
//
// # Formats
//
// A torrent's info dict (BEP 3, bencoded) is in one of three formats. In each of
// them every piece can be checked with SHA-256; SHA-1 alone is never enough.
//
//	hybrid   v1 and v2 (BEP 52): "files" with pad files (BEP 47) and "pieces",
//	         beside the same files as "file tree"; SHA-256 by pieces roots and
//	         piece layers
//	v2       "file tree" alone
//	v1       "files" without pads and "pieces", and one key of our own,
//	         "sha256 pieces": the SHA-256 of each piece's bytes, 32 bytes a piece,
//	         in order. Clients that do not know the key skip it
//
// One file of six bytes, "hello\n", called hello.txt, as a hybrid (broken into
// lines; <…> stands for bytes):
//
//	d
//	 9:file tree d 9:hello.txt d 0: d 6:length i6e
//	  11:pieces root 32:<5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03> e e e
//	 6:length i6e
//	 12:meta version i2e
//	 4:name 9:hello.txt
//	 12:piece length i32768e
//	 6:pieces 20:<f572d396fae9206628714fb2ce00f72e94f2258f>
//	e
//
// and the same as v1:
//
//	d 6:length i6e 4:name 9:hello.txt 12:piece length i32768e
//	 6:pieces 20:<f572d396fae9206628714fb2ce00f72e94f2258f>
//	 13:sha256 pieces 32:<5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03> e
//
// Both hashes are what sha1sum and sha256sum print for the file: its one block is
// its one leaf. A longer file's leaves are its blocks of 16 KiB; the tree above
// them is filled up with zero leaves. The tree of a file no longer than a piece is
// as high as it needs to be; of a longer one, the nodes that cover one piece each
// are its piece layer, which stands beside the info dict and is believed only once
// it hashes to the pieces root. testdata holds more vectors, printed to be read.
//
// Of what BEP 3 does not have, the info dict says: executable files (attr x) and
// symbolic links (attr l, "symlink path" from the torrent's root, the root itself
// being ["."]) as BEP 47 does, empty files as files, and empty directories by a
// key of our own in any format, "empty directories": a list of paths, ascending.
// Two more of our own, "written name" and "written paths", are explained below; a third,
// "salt", any bytes, makes another torrent of the same files and says nothing.
//
// # Which format
//
// A hybrid starts every file on a piece. What that costs on a tree of 300 files of
// odd sizes, 3 162 965 bytes, in pieces of 32 KiB, as a share of the payload:
//
//	                                  with pads          v1 without pads
//	                                  fetched  stored    fetched  stored
//	libtorrent 2.0.8, knows pads      1.87     1.00      1.00     1.00
//	aria2 1.36, does not              3.10     3.10      1.00     1.00
//	Transmission 3.00, does not       3.10     3.10      1.00     1.00
//	info dict                         55 927 bytes       16 956 bytes
//
// (libtorrent asks for the pads in the last block of each file.) And clients from
// before 2023 cannot use any file tree, of a single file either: aria2 up to 1.36
// computes another infohash, Transmission 3.00 takes the torrent for damaged; both
// stumble over the empty key. For them there is v1. So FormatAuto makes a hybrid
// only when its pads are at most 1/32 of the payload, its info dict is at most 8
// MiB and no file lacks bytes (Torrent.SparseTree), and v1 otherwise.
//
// The piece length is the largest power of two x with x² <= 140·F for F bytes, from
// 32 KiB to 1 MiB: a compromise between how long a piece takes to travel through
// a swarm and how many messages announce pieces. For what will have a next
// version it is 64 KiB. Above, pieces grow only so far that their hashes stay
// under 4 MiB. The info dict may have 16 MiB, which is what peers exchange (BEP
// 9); 100 000 files fit into 8 MiB as v1 if their paths are 60 bytes long.
//
// # Names
//
// Names are stored in NFC. Neither Build nor Parse lets through a path that is
// empty or absolute, has an empty element, "." or "..", a slash, a backslash or a
// NUL, is not UTF-8, has an element above 255 bytes, more than 48 elements or more
// than 3072 bytes; nor two paths that are the same in NFC, nor a path below
// another one that is a file, a symlink or an empty directory: nothing is ever
// written through a link. Links lead nowhere outside of the torrent.
//
// What comes out of a torrent shall be called, byte for byte, as what went in. So
// where a name was not NFC on the publisher's disk the info dict remembers it, in
// any format and only then: "written name" is the top level's; "written paths" is
// a list, ascending, of one path for each file, symlink and directory whose own
// name was another one, spelled as it was from the top down to that name:
//
//	13:written paths l
//	 l 6:<63616665cc81> e
//	 l 6:<63616665cc81> 6:<6e6169cc8866> e
//	e
//
// says that the directory café is decomposed, and naïf in it is too. What else is
// in café needs no mention. Torrent.WrittenName and Torrent.Written give the
// spelling for the disk; whatever compares or looks up uses Name, Files and
// EmptyDirs. Parse refuses what is no other spelling of a name in the torrent or
// contradicts another path, and holds all to the rules above. As all spellings of
// a path are the same in NFC, paths that do not collide do not when they are written
// either. The target of a link is spelled like what it names; what is not in the
// tree, or is behind another link, stays as it was in the link. A name of more than
// 255 bytes that has fewer in NFC is NFC for everybody. Torrents of others have
// neither key; their names are taken as they are.
//
// Names that only some systems cannot have are published (a kernel's sources
// contain an aux.c), but before such a system writes a tree it asks
// Torrent.CheckDestination, which finds Windows devices, trailing dots and spaces,
// colons and other special characters, and names that differ only by case.
//
// # Torrents of others
//
// Parse reads v1, v2 and hybrid torrents of any maker and keeps what it does not
// know. It refuses what it would not print back byte for byte, and a hybrid whose
// two halves disagree in names, order, lengths, links or places of files. Whether
// they agree in content only the bytes can tell: Check wants both hashes to fit,
// and where the piece layer is not known, CheckFile compares the finished file.
//
// # Entries
//
// An entry of a channel is a bencoded dictionary of at most 48 KiB. All have y,
// the kind; t, Unix milliseconds; and, if any is set, ^, pointers to what was
// newest when it was written (p root version, g grant, a archive, k rekey; the
// last three as index+1). Optional keys are left out rather than empty.
//
//	post   x title, b body; at least one. id name at its source, u link, au author,
//	       re the entry that is answered (WRITER/INDEX, elsewhere
//	       CHANNEL/WRITER/INDEX), pub and upd Unix milliseconds at its source, tag
//	       list, at list of files elsewhere: u address, m media type, n name, s size;
//	       with files attached, i i1 n s as in media and fl, a list of up to 64 of them:
//	       n name, m media type, s size. They are all that is in the torrent, in no
//	       directory below its own, and s is the sum of theirs, or of ciphertext its size
//	media  i SHA-256 of the info dict, i1 its SHA-1 if the torrent has v1, n name,
//	       s size in bytes, x title
//	rel    v version, os platform, i i1 s as in media, min oldest version that may
//	       stay, roll installations of a thousand that may take it (left out: all)
//	del    n index of the entry whose bytes may be dropped, x reason
//	seal   b another entry, encrypted (package seal); in the clear beside it, of an
//	       entry with content, i i1 s as in media, of the torrent of the ciphertext,
//	       and of one that asks to drop an entry, n as in del
//	rekey  b a read key, encrypted for the readers of a private channel
//
// Other kinds are Unknown; keys that are not known are kept; both print back. A
// post that says "Tea at four":
//
//	d1:ti1766400121000e1:x11:Tea at four1:y4:poste
package manifest
