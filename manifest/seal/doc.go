// Package seal encrypts what a private channel publishes, so that those without a read
// key can keep it, check it and pass it on, and cannot read it. Everything it makes is an
// age file (age-encryption.org/v1), and "age -d -i KEYFILE" opens it.
//
// # Who has what
//
// A [Key] is an X25519 identity of age. Its text, 74 characters, is what stands behind
// #k= in a link: to share the link is to share the channel. The log and its heads, the
// torrents and their hashes are made over ciphertext and stand in the clear; so caches
// verify like everybody else. What they see: when something was published, that an entry
// has content and of what padded size, that one asks to drop another, who may write, and
// how many readers a new key was sent to. What they do not see: names of files, how many
// there are and how large each is, titles, texts, and whether an entry is a post.
//
// A [manifest.Rekey] entry brings a new key to the readers whose age1… keys the
// publisher knows. Later entries are sealed with it and point at it (^ k), so whoever is
// sent no new key reads none of them. Nobody can be made to forget: who leaves keeps what
// was readable then. [Ring] is the file that keeps keys.
//
// # An entry
//
// The plaintext of a [manifest.Sealed] is the entry, padded with zeros to 128 bytes or
// as below; the entry says all that stands outside, and is refused if it says otherwise.
// 200 bytes are added: the header of the age file, 168; the nonce, 16; a tag, 16.
//
// # Content
//
// A tree of any size becomes one age file:
//
//	16  "handful content\n"
//	 8  bytes of the metainfo, big-endian
//	    metainfo of a v1 torrent with SHA-256 of the tree (package manifest), salted
//	    the files' bytes, in its order, without pads
//	    zeros
//
// The metainfo says names, sizes, execute bits, symlinks and hashes; nobody but readers
// ever sees it. Of a torrent of the age file as a whole, everybody sees one file with a
// name that means nothing ([Reader.Name]). The zeros pad it to a size of which only the
// binary exponent e and the ⌊log2 e⌋+1 bits after it are not zero (PADMÉ, Nikitin et al.
// 2019): 12 % more at most, 3 % from 64 MiB on, 1.6 % from 4 GiB on. Single files can be
// had without this program: "age -d -i KEYFILE X.age | tail -c +N | head -c SIZE".
//
// age encrypts chunks of 64 KiB, each with a tag of 16 bytes, so any byte of any file can
// be read alone ([Opened.ReadFileAt]): who plays a film needs no more of the ciphertext
// than the chunks under the playhead.
//
// # Ciphertext that is nowhere
//
// A publisher's files are served where they are and never touched, and a second copy,
// encrypted, would double what they need. So ciphertext is made when a block is asked
// for, by [Reader], and so do readers, who have only the plaintext once they have it:
// they seed ciphertext out of it. That is possible because sealing is deterministic, and
// this is why it is sound.
//
// What age draws at random for a file (file key 16 bytes, ephemeral X25519 key 32, nonce
// 16) is derived from the read key with HKDF-SHA-256 and, as its context, a hash of all
// the plaintext: SHA-256 of the padded entry, or of the tree's info dict, which has the
// SHA-256 of each piece. Each is as unpredictable as random bytes for who does not have
// the read key, and who has it may read the file anyway. Two plaintexts never share a
// file key unless SHA-256 collides, which is what encryption by key and counter needs.
// What is lost is that the same plaintext under the same key is the same ciphertext: that
// somebody published it twice can be seen. It is wanted, since then it is one torrent.
//
// One way is left to use a key and a counter twice: the files change after the key was
// derived. Who would then see both ciphertexts of a chunk would see the difference of the
// plaintexts. So a Reader remembers the tag of each chunk that it sealed first, which is
// when the torrent is made; and a chunk whose tag is another one never leaves it
// ([ErrChanged]). A tag is a MAC with a key of its own for that chunk, so that neither
// chance nor whoever edits the file makes a changed chunk pass. (Package store looks at
// size, mtime and inode as well, with every read.) The torrent is made of what the Reader
// gave, so it describes the bytes of those tags and no others.
//
// [Reader.State] keeps file key, header and tags. Its thief can open this one file.
//
// # Purity
//
// The package has no files, clock or network. Randomness is passed to [NewKey]; only
// [SealKey] lets package age draw what it needs.
package seal
