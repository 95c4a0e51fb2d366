// Package publish is the publisher's side: entries go into the writer's log, heads over
// it are signed, and only what is safely on disk leaves the house. [Log] keeps the log.
//
// [Publisher] pushes each new head to the channel's peers, offers it on the local network,
// and keeps it in the DHT as an item (package channel), together with the root document. At
// its start it asks peers and the DHT what it published before: peers can confirm the log;
// an item may be an old one that somebody put again, so it confirms nothing, but a head
// that the log does not contain stops the publisher before it signs a second history.
package publish
