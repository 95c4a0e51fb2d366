// Command bench answers questions of speed with figures, side by side with other clients in the same run.
//
//	go run ./bench hash     how near is hashing to what the machine's cores can do?
//	go run ./bench pair     one seed, one leecher on loopback: rate, CPU and memory of both ends
//	go run ./bench crowd    one origin, N leechers at once on slow uplinks: time against the physical limit, copies sent
//	go run ./bench churn    the same crowd disturbed: who completes, and how much later
//	go run ./bench sites    sites joined by slow links: copies over each link, time against what the links allow
//	go run ./bench small    many nodes fetch many small torrents: time, copies the origin sent, memory
//	go run ./bench feed     100 followers of a channel: time until a post is printed, copies, what strangers cost
//	go run ./bench sim      the policy among thousands of simulated peers: time against the bound, copies, who is served
//	go run ./bench packages the Debian packages that the rivals are in
//
// Results are a table on standard output, or with --json one JSON object a line; what it is doing goes to standard error. A rival
// that is not installed stands in the table as missing, with the reason. Two measurements at once spoil each other:
// run one, on a quiet machine, and look at "busy". README.md says what the columns are, and what was measured.
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
// When leechers come one by one (-every), at 0 = a_1 ≤ … ≤ a_N, the bound is the capacity of who is there by then. From a_k on
// leecher k and all later ones need a copy each, so it is the least T with
//
//	T ≥ F/u_s,  T ≥ a_N + F/d_min,  and for every k:  ∫ U(t) dt from a_k to T ≥ (N−k+1)·F
//
// where U(t) is u_s and the u_i of those that have come by t. With all a_i = 0 this is T*. A leecher is started a little before
// its arrival; the tracker lets it in at that moment and tells it of those that came before.
//
// The handful is the greatest number of leechers to which the origin sends piece data within any one second: a window
// that slides over every block that leaves its link (a packet socket there), not over bins of a second. A leecher counts if at
// least 4 KiB of blocks go to it within that second. Streams are read as BEP 3 has them, so metadata and control messages
// do not count; a stream that is encrypted, or HTTP, cannot be read and counts as a whole ("unread" in JSON).
//
// In a mixed crowd (-mix) the origin is ours, and the guests get the metainfo that it wrote. A hybrid (v1 and v2) cannot be
// read by aria2 up to 1.36 nor by Transmission 3.00, so these cannot be guests. libtorrent 2 can, and enters the swarm by
// either info hash.
//
// A run in which the machine was more than 0.85 busy does not count: it measured the machine. It is repeated up to two
// times; if none counts, the table shows them with a star.
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
// # A disturbed crowd
//
// bench churn makes a crowd on shaped links and does one thing to it, at a share of T* after the start ("half": T*/2). Complete
// must be who stays and who joins. The slowdown is the last completion of these against the median of the clean runs of the
// same client in the same measurement; leechers that come one by one are compared with their bound instead.
//
//	clean            nothing
//	stagger          a leecher comes each 2 s
//	delegate-killed  at half, kill -9 of the leecher that alone holds most pieces: what it was given and has not passed on
//	cable            at half, that leecher's cable is pulled out of the switch: silence, no reset
//	liar             one leecher is bench/liar, which claims every piece and corrupts one block in four
//	slow             one leecher's uplink has 1 % of the rate
//	throttled        one leecher limits itself to sending 1 % of the rate
//	origin-killed    kill -9 of the origin as soon as each piece lies whole at some leecher
//	origin-restart   at half, kill -9 of the origin; after 3 s, which are subtracted, it is started again where it was: ours by
//	                 seed serve, others as before
//	churn            at a quarter an eighth of the leechers is killed, at half as many join
//
// What a client holds is read from its files: the first and last 8 bytes of each block are compared with the source. So it
// is the same for all clients, and no client's word is taken for it. In slow, the acknowledgements of TCP alone fill the uplink
// about as long as T* lasts (one of 66 bytes for each 5800 of payload: 1.1 % of it), which is why there is throttled beside it.
//
// # Sites
//
// S sites of M leechers, the origin in the first. Each site is an IP prefix with a router of its own, whose link to the
// core that joins them is shaped both ways; inside, only the hosts' uplinks are. Everybody is told of everybody, as in a
// crowd, by a tracker that each site reaches inside. With F bytes, link rate L, uplinks U, nothing can be faster than
//
//	8·F/U in the origin's site, max(8·F/L, 8·F/U) in the others
//
// since a copy must leave the origin, and one must come in over each other site's link; one out of the origin's site is
// enough, for the others have links of their own to pass it on. Copies over a link are whole frames / F, so 1.046 is the
// least. With -blind ours runs once more with all tiers equal: nearness must make nobody later than the latest there.
//
// # Small torrents
//
// One publisher (`seed serve`, and a `seed publish --no-wait` for each torrent), and N nodes that each run one
// `fetch -i LINKS -j P` in an order of their own. Nobody is told of anybody but by the links as they are printed, and there is no
// tracker beside the publisher's. Time runs from the start of the first node's program; the bound is T* of all torrents as one.
// Origin copies are whole frames out of the origin's uplink / all payload: what each pair of node and torrent costs
// there beside the payload is the point. Memory is the most anonymous memory of any one node, connections the most TCP
// connections that were seen established at one host, looked at every 3 s.
//
// # Feeds
//
// One publisher and N followers on loopback, of which some are `fetch follow` in processes of their own and the others
// nodes of the bench's process that do all that follow does but print. Multicast is off. A post's time runs from before the call that
// signs and pushes it until a follower has verified, archived and printed it; a process has printed it when its line was
// read from the pipe. "all" is of each post the slowest follower. Origin copies are the payload of all messages that the
// publisher's node has sent meanwhile, its answers, repairs and the introductions of who comes included, in copies of
// what was said: one update of each post as somebody gets it who is up to date.
//
//	post      posts one after the other
//	killed    as post; after a third of them some followers are killed (processes: kill -9) and after two thirds started again
//	burst     1000 posts in 60 s
//	stranger  a channel of 100 000 posts, its publisher and three followers: `fetch follow` from nothing to the newest 50
//	away      the same channel: `fetch follow` of who was away for 1000 posts, from its start to the last of them
//
// Missed, repeated and disorder are counted over all entries and followers. MiB is the most anonymous memory of any one process.
//
// Exit codes: 0 measured, 1 something failed, 2 usage, 130 and 143 ended by a signal. Namespaces, programs and files are
// removed in all of them; what a killed run leaves is removed by the next.
package main
