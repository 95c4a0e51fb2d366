// Package keyfile keeps the keys of channels on disk, one directory a channel:
//
//	DIR/<id>/1.root.json   the first root document; 2.root.json and so on follow it
//	DIR/<id>/root.pem      signs root documents; may be kept elsewhere
//	DIR/<id>/online.pem    signs heads; a beginner's also says who else may write
//	DIR/<id>/targets.pem   says who else may write, where that is another key
//	DIR/<id>/dht.pem       signs pointers in the DHT
//	DIR/<id>/N.targets.json  the targets documents that were granted
//	DIR/<id>/new           there until something is published: a log that is missing is empty then
//
// Keys are PKCS#8 in PEM (RFC 5958, RFC 8410), mode 0600, as openssl writes them:
// "openssl pkey -in online.pem -text" shows one. A channel's directory appears whole or
// not at all. Keys are replaced by [Keys.Next], with the next root document: the new ones
// are written as NAME.next, then the document, which decides what counts, then they take
// the place of the old ones. Any of the keys may be kept elsewhere. Whenever that is interrupted, either the old keys fit the
// newest document or the new ones do. Private keys are not encrypted: the filesystem guards them.
//
// A thief of root.pem owns the channel: nobody can tell what the thief publishes from
// what the owner does. A thief of online.pem can publish until the owner replaces that
// key with root.pem; what was published before cannot be changed unseen. A thief of
// dht.pem can make followers look in the wrong place for a while. The export has all
// of them in one file, and is worth as much as root.pem.
package keyfile
