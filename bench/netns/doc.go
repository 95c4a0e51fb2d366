// Package netns builds small networks of real kernel links on one machine, for measurements and for tests that need
// more than loopback.
//
// # What it makes
//
// Every host is a network namespace with one Ethernet link, eth0, and an address of its own. Hosts hang on bridges; all
// bridges of a Network live in one more namespace, the switch. Two bridges can be joined by a trunk, which makes one
// Ethernet of them. Nothing is connected to the machine's own interfaces, no route leads there, so no packet leaves.
//
//	      namespace h0        namespace h1         namespace h2
//	        eth0 (tbf: up)      eth0 (tbf: up)       eth0 (tbf: up)
//	          |                   |                    |
//	switch:  p0 (tbf: down)      p1                   p2
//	          +------ bridge a ---+                    +--- bridge b
//	                     +--------- trunk (tbf each way) ----+
//
// A Site is a bridge with an IP prefix of its own and a router, as real sites are; all sites hang on one core:
//
//	namespace siteN:  bridge (gateway of its hosts) -- router -- wan (tbf: out)
//	                                                              |
//	switch, as the core that routes between sites:              pN (tbf: in)
//
// # How a link is shaped
//
// A token bucket (tc-tbf) stands at the sending end of the link, so that the queue is where it is on a real uplink:
// rate U, burst max(16 kB, 2 ms of U), at most 100 ms of queue. Generic segmentation is made small on the shaped device
// (6000 bytes, 4 segments), since one 64 kB segment of each of N flows would overrun that queue. The shaper's byte counter
// counts whole Ethernet frames, so a payload that crosses once reads about 1.046 times its size.
//
// # How programs are started
//
// With a timer slack of a millisecond, whatever they are: many programs share the processors here that stand for machines
// of their own, and a Go program's monitor alone would wake up every 20 µs.
//
// # Cleaning up
//
// Network.Close ends whatever still runs inside its namespaces and removes them. A run that was killed leaves its
// namespaces behind; New removes those of processes that no longer exist. Names carry the maker's process id for that.
//
// It needs Linux, root, and the commands ip and tc (Debian: iproute2). Available says which is missing.
package netns
