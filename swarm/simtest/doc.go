// Package simtest is a swarm on a simulated network and clock: tens of thousands of
// peers in one process, with the same package policy that a node runs. It answers how
// the policy does in swarms that no test bench holds. Nothing in it knows the real
// time, and a seed gives the same run every time.
//
// # What is real
//
// Every leecher that is not foreign owns a policy.Sight, the origin owns a
// policy.Grants. They are told what a node would tell them, at the times at which it
// would, and what they decide is carried out: a piece that is shown is asked for where
// it is shown, and nowhere else.
//
// # The network
//
// A peer has an uplink; a site has a border, each direction of its own rate. Downlinks
// are free. Everything is sent in blocks of 16 KiB, which take longer by Overhead than
// their payload does. One server serves each uplink and each direction of a border, a
// block at a time:
//
//   - an uplink takes the connections that have anything to send in turn, every third
//     time one with a piece that it has sent nobody, and sends up to eight blocks of one
//     piece in a row, as the node's does: a peer can pass on whole pieces only. What goes to another site has every other turn, as long as
//     there is any; in the node that is a lane of its own. Requests on one connection
//     are served in their order;
//   - a border takes the connections in turn, block by block. At most four blocks of
//     one connection are at the borders; the rest waits at the sender, as with TCP;
//   - messages overtake blocks: they arrive after Near or Far, the latencies inside a
//     site and across a border, whatever the uplinks do.
//
// That is close to the node, whose uplink hands the system no more than the line
// carries in some tens of milliseconds and lets control messages overtake. Left out:
// slow start, loss, the engine's own work, the bytes of messages and acknowledgements,
// hashing.
//
// # The peers
//
// Everybody knows all of its own site, and twelve peers of other sites that the
// tracker named, at most 24 with those who were told of it. The first peers of as many
// sites as possible learn the origin, Ring of them; then nobody does, until one of them
// leaves. With one site the origin is in it, and there are no borders.
//
// A Have goes out at once if the piece came from the origin or across a border, or if
// the uplink has nothing to send; others wait for a second and are left out where the
// piece has arrived by then. A node's periodic work is done every 250 ms. When a piece
// is shown at several peers, one that is idle takes over half of what another has been
// asked for, after 150 ms. Silent peers are noticed after 7 s. Pieces are verified in
// no time; one that is bad is fetched again, and who sent it is left.
//
// Foreign clients know no tiers: they take pieces at random from whoever serves them,
// 32 blocks at a time, serve three that gave them most and one at random, and announce
// what they have at once. Plain makes members take what is claimed anywhere, with the
// simulation's own idea of an engine, which marches in step less than a real one does:
// it compares tables, not engines.
//
// # Cases
//
//   - Flash: all come at once;
//   - Arrivals: one comes every Interval, into a random site;
//   - Churn: 10 % of the peers a minute leave, others come in their place, as long as
//     anybody who was there at first is incomplete;
//   - SlowSite: the border of one site has a hundredth of its rate;
//   - SlowPeer: the uplink of one peer has a hundredth of the others';
//   - Dead: one peer in ten goes silent after 40 % of the bound;
//   - Liars: one in a hundred claims everything, and what it sends is bad;
//   - Foreign: two thirds are foreign clients.
//
// Who is complete goes on serving. A run ends when all who are there and honest are
// complete.
//
// # The bound
//
// No way of sharing is faster than
//
//	T = max( F/u_s, F/link, last arrival, the T at which ∫(u_s + Σu_i) dt = N·F )
//
// with F bits of content, u_s and u_i the uplinks of the origin and of those who are
// there, link the border of a site. Worked example: 64 MiB for 10 000 peers at
// 10 Mbit/s from an origin at 100 Mbit/s is 10 000 · 537 Mbit / 100.1 Gbit/s = 53.6 s,
// and with headers nobody can be done before 56.1 s.
package simtest
