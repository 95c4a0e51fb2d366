// Package follow is the follower's side: news from any source goes through [Trust],
// which keeps on disk what was believed, before anything is done about it.
//
// Sources are the peers of the channel's swarm, and the channel's items in the DHT
// (package channel says what they are). The items are asked for when the key is known: from
// a link or from the root document. They are asked for at once, after 2 minutes, 4, and so
// on up to half an hour, and what was found to be the newest is put again, so that every
// follower keeps them alive. An item counts as one source; it never ends the listening of
// the first contact alone. Mirrors on web servers (package mirror) are asked like peers, and
// for news after a minute, two, and so on up to eight; those on one host are one source. A channel that turns out to be private is taken out of the DHT.
package follow
