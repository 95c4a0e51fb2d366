// Package store keeps content and state on disk. It knows files, pieces and
// hashes, and nothing of peers or of the engine that moves the bytes.
//
// # State
//
// A state directory has one holder, by a lock on its file "lock", which also
// names the holder's process id. Beside it lies state.db, a bbolt database that
// is synced with every change. It holds for each torrent, by the infohash that
// is used on the wire: the metainfo; a small record (what kind of content, where,
// a blob of the caller's, bytes uploaded); the stamps of its files (size, mtime,
// inode); and for an unfinished download that was closed properly the bitmap of
// its pieces. Every value carries a checksum. What is lost with state.db is
// knowledge, never content: a download is found again by the name of its staging
// tree and checked piece by piece.
//
// # Three places for content
//
//	source   a publisher's files where they are. Opened read-only; nothing is
//	         ever created, renamed or chmodded there.
//	staging  DEST/.handful-<16 hex digits of the infohash>.part/ (mode 0700), on
//	         the file system of its destination:
//	           lock   taken by whoever downloads here, with its process id
//	           new    the file or directory that grows
//	           old    what --force replaces, for the moment of the swap
//	final    DEST/NAME, after one rename.
//
// Below a staging tree and a destination every path is opened beneath its root,
// never through a symlink when writing. Files are created at their first byte
// and sparse, with their execute bits from the start, so that the umask of the
// process decides about all other bits. Pads exist in no place: they read as
// zeros and writes to them are dropped. So are writes to a piece that has been
// verified.
//
// What a download makes, NAME included, is called as on the publisher's disk, which
// may not be NFC (manifest.Torrent.Written), and so are the targets of symlinks. It
// is only ever looked up by these names, never by what a directory lists: a file
// system that has a spelling of its own, as those of macOS do, finds it as well.
//
// # What is true of a piece
//
// [Content.State] gives (complete, known). A piece is known to be incomplete
// when a file it needs is absent or ends before it, or when it lies in a hole
// altogether. After a proper close the bitmap is trusted for all files whose
// stamps still fit; everything else that is there is unknown, and
// [Content.Verify] finds out. So nothing that was verified is fetched again,
// and nothing is believed that a kill or a power cut may have left half-written.
// The bitmap is withdrawn before the first write after it.
//
// # Pieces out of another node's files
//
// [Content.Whereabouts] says where the files are now; [Content.TakePiece] takes a piece
// out of the files that another node of this host has named. These are only ever read,
// and are believed nothing: a regular file, looked at before it is opened, not longer
// than the torrent says; and a read that hangs is abandoned with its context. Where the
// file system shares blocks (a reflink, FICLONERANGE) a piece within one file of which
// nothing was received yet is shared first and verified in place; else it is read,
// verified, and exactly those bytes are written. Writers from the network are kept out
// of the piece meanwhile, so that what was verified is what is there. Hard links are
// not made: an edit of one file would change the other.
//
// # Changes under our feet
//
// Content in source or final place is served only while each file has the stamp
// it had when it was hashed; every read compares after the bytes were read. The
// first difference ends it: the read and all further ones fail with [ErrChanged]
// and [Content.Changed] says which file. At reopen a file whose stamp differs
// but whose size does not is hashed again; the same bytes are accepted.
//
// # Sealed content
//
// Ciphertext of a private channel (package seal) has no place of its own once there is
// plaintext: it is encrypted when it is read, out of content in source or final place,
// whose record is hidden from [Store.Load] and which is opened and closed with it. Beside
// the record of the ciphertext is what makes it the same bytes each time: the key of this
// one file and a tag for each 64 KiB. A thief of state.db can read the files that are
// sealed there if he also gets their ciphertext, which anybody may have. What is fetched
// without a read key is a download like any other.
//
// A reader's download of ciphertext lies in DEST/.handful-<16 hex digits>.sealed/ until it
// is decrypted into a staging tree of the plaintext, verified there, and renamed; then
// the record says sealed, in one transaction, and the ciphertext is removed. A crash before
// that leaves complete ciphertext, from which decrypting begins again.
//
// # Finishing
//
// [Content.Finish] ends a download. Each step may be the last one that happens:
//
//	verify    pieces that only SHA-1 has vouched for, against SHA-256; whole files
//	          against their pieces root where no piece layer is known
//	complete  empty files and directories, then symlinks, in the staging tree
//	sync      all files and directories
//	journal   the record says that the rename comes, with the stamps of all files
//	aside     with Force: DEST/NAME to staging/old
//	rename    staging/new to DEST/NAME, never over anything
//	sync      DEST
//	clean     the staging tree and what it holds of the old content is removed
//	record    finished: served from DEST/NAME from now on
//
// Before the journal a restart finds an unfinished download and checks it. After
// the journal [Store.Download] and [Store.Reopen] look where the content is and
// go on from there.
package store
