// Command bench answers questions of speed with figures, side by side with other clients in the same run.
//
//	go run ./bench hash     how near is hashing to what the machine's cores can do?
//	go run ./bench pair     one seed, one leecher on loopback: rate, CPU and memory of both ends
//	go run ./bench crowd    one origin, N leechers at once on slow uplinks: time against the physical limit, copies sent
//	go run ./bench packages the Debian packages that the rivals are in
//
// Results are a table on standard output, or with --json one JSON object a line; what it is doing goes to standard error. A rival
// that is not installed stands in the table as missing, with the reason. Two measurements at once spoil each other:
// run one, on a quiet machine, and look at "busy".
//
// # Flash crowd
//
// T* is the fluid bound of a flash crowd (Kumar and Ross): no way of sharing can be faster than
//
//	T* = max( F/u_s, F/d_min, N·F/(u_s+Σu_i) )
//
// with F bytes, u_s the origin's uplink, u_i the leechers' uplinks, d_min the slowest downlink. It counts payload
// against line rate; frames cost 4.6 %, so nothing can read below about 1.05.
//
// As root every host is a network namespace with an address of its own and a shaped link (package netns), and the
// origin's copies are read from its shaper. Otherwise each client limits itself, on addresses of 127.0.0.0/8, and what
// the kernel would count is left out; a limiter's first burst can then bring a small crowd below T*.
//
// Everybody learns everybody's address at the same moment, from a tracker that answers when all have asked
// (rival.PeerList); time runs from there. The clients' start is not counted. Multicast does not pass the bridge, so
// nobody is found earlier. Every copy is compared with the source, and a run in which a client counts bytes as from its
// own machine is invalid.
//
// Exit codes: 0 measured, 1 something failed, 2 usage, 130 and 143 ended by a signal. Namespaces, programs and files are
// removed in all of them; what a killed run leaves is removed by the next.
package main
