// Package manifest says what is published: BitTorrent metainfo and the entries of
// a channel. It knows no network, no keys and no clock.
package manifest
