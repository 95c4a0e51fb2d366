// Package policy decides how a swarm shares its load. It is pure: peers are
// numbers, time is a duration since an arbitrary start, randomness is an order
// that the caller passes in, and what is decided is returned as values, so the
// same code runs in a node and in a simulation.
//
// There is one rule, applied at every border between tiers (host, link, site, far,
// and the origin's own):
//
//	A piece may be seen beyond my tier only if no nearer peer has it, or the near
//	holder has not delivered it for a grace, and it was granted to me, or I am its
//	delegate, or my turn has come, or nothing comes from anybody.
//
// # The leecher's side: Sight
//
// [Sight] is the leecher's table of what it lets itself see of whom. Whatever peers
// claim goes in; what the node's engine may act on comes out.
//
//   - One visible holder per piece among equals, so that every piece is asked of one
//     peer: the first member that offers it. Members offer what they have room for on
//     their lines, see Offers below. Whoever is offered what it has, or has asked
//     somebody else for, sees another piece there instead: the one that fewest have.
//   - What nobody has offered for three times the usual time, 1.5 s at least, is seen at
//     the first who has it and has room: for as many pieces as it delivered in the last
//     second, one or 64 KiB at least.
//   - A farther peer's piece is seen only while nobody nearer has it, and among the
//     group of nearer peers that lack it too, turns are drawn by rendezvous hashing:
//     the member with the highest weight for the piece is its delegate and goes at
//     once, the next one after a grace, everybody else after two.
//   - Where at most four other sites are known a piece goes from one to the next: the
//     sites stand in a circle, in another order for each piece, and each waits for the
//     one before it, for a grace and as long as pieces come there. So no link carries a
//     piece twice in one direction.
//   - A holder that lets a grace pass (three times the usual time from seeing a piece
//     to having it, 6 to 30 s) is late: the piece is shown at one more holder, after
//     another grace at all; others' turns begin; the late one has room for one piece
//     until it delivers in time.
//   - A holder is slow whose line carries less than an eighth of the usual one's, by its
//     own word: it is asked for what nobody else has, a piece at a time, nobody waits
//     for its turns, and what was asked of it before that was known is shown at others.
//   - An origin is seen to have what it granted, and nothing else.
//   - When nothing useful came for three graces everything is shown at everybody.
//   - Foreign clients know no turns and may choke, so pieces are shown at them beside
//     the one visible holder; borders hold for them too.
//
// Every piece that somebody holds is thus seen at a holder that serves it within
// three graces after the last change.
//
// What it did is kept: [Sight.Account] tells of each piece where it was seen first and
// last, and why, and [Account.Why] gives the reason that fits who delivered it.
//
// # The side of those who have something: Offers
//
// [Offers] is every other node's account of what it lets its equals ask of it. As long as
// less is asked of it than its line carries in one and a half times the time in which offers
// are answered here, and two blocks, it offers one more piece, that of which it knows the
// fewest copies, to one who lacks it; which one, rendezvous hashing says. Nobody is offered
// more than two at a time. An answer is a request of any piece, or the word that there is
// nothing to ask for; whoever gives none is left alone for a while. An answer that takes four
// times as long as usual is not waited for, nor is the next one of that peer. So nothing is
// bound to a line before that line is free, and lines are busy as long as anybody lacks
// anything.
//
// # The origin's side: Grants
//
// An origin that lets every leecher see everything sends the same pieces several
// times over, because all leechers ask it first. So a leecher sees the origin as
// empty until the origin grants it a piece. [Grants] is the origin's account:
//
//   - a piece that nobody has yet is granted to one leecher, its first holder;
//   - only a few pieces are in transfer at a time, as many as the origin's uplink
//     carries in a quarter of a second, four and 768 KiB at least, so that whole pieces
//     come into the swarm steadily from the first moment on;
//   - the next piece goes to the leecher that has least left to pass on: joining
//     the shortest queue, which paces itself to unequal uplinks, late arrivals
//     and deaths;
//   - in any one second at most a handful of leechers is sent data. With more than
//     that, they have turns: whoever has had one for longest ends it as soon as another
//     place among the handful must become free, seven times in 1.2 s, and the next
//     one goes before those who have had something, so that all uplinks are soon in use;
//   - only a ring of 48 leechers is granted anything, from as many different sites
//     as there are: the others get everything through them;
//   - leechers near the origin go first where they are an eighth or more of the ring;
//   - a piece whose only holders have left is granted again, one that was not taken
//     goes to somebody else;
//   - a leecher that is slow is granted what is left when no other member has room, and
//     what it alone has is granted once more;
//   - a leecher that says that it is hungry is granted what it names;
//   - foreign leechers are granted what is left when no member has room, or when they
//     have stood still for 5 s.
//
// [Grants.Summary] and [Grants.Grantees] tell how often pieces were granted, and to
// whom.
//
// Worked example: four pieces, leechers A and B, both empty. Next returns (A, 0),
// (B, 1), (A, 2), (B, 3). A reports that it has 0, so A has one piece that B
// lacks left to pass on; B reports 0 as well, fetched from A, and 1. When all
// four pieces are held by somebody, Next returns nothing more: the origin sent one
// copy, and the leechers trade the rest.
//
// # Sites
//
// A [SiteMap] tells an address's site by the longest prefix that holds it. Worked
// example: with the lines "10.0.0.0/8 elsewhere" and "10.1.0.0/16 berlin", 10.1.2.3
// is in berlin and 10.2.0.1 elsewhere.
//
// # Limits by the time of the week
//
// A [Timetable] says which rate limit holds when. Worked example: "mon-fri
// 08:00,1M 19:00,off" is 1 MiB/s on Wednesday at noon, nothing on Wednesday night,
// and nothing on Sunday, since Friday 19:00.
package policy
