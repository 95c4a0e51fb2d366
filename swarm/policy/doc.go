// Package policy decides how a swarm shares its load. It is pure: peers are
// numbers, time is a duration since an arbitrary start, randomness is an order
// that the caller passes in, and what is decided is returned as values, so the
// same code runs in a node and in a simulation.
//
// # Grants at the origin's border
//
// An origin that lets every leecher see everything sends the same pieces several
// times over, because all leechers ask it first. So a leecher sees the origin as
// empty until the origin grants it a piece. [Grants] is the origin's side:
//
//   - a piece that nobody has yet is granted to one leecher, its first holder;
//   - only a few pieces are in transfer at a time, as many as the origin's uplink
//     carries in a fraction of a second, at least two a leecher and eight in all,
//     so that whole pieces come into the swarm steadily from the first second on;
//   - the next piece goes to the leecher that has least left to pass on: joining
//     the shortest queue, which paces itself to unequal uplinks, late arrivals
//     and deaths;
//   - in any moment at most a handful of leechers have grants open;
//   - a piece whose only holders have left is granted again;
//   - a leecher that says that it is hungry is granted what it names.
//
// With a single leecher there is nobody to share with, and the window is wider; yet
// never so wide that one who comes a moment later finds everything promised to the
// first.
//
// Worked example: four pieces, leechers A and B, both empty. Next returns (A, 0),
// (B, 1), (A, 2), (B, 3). A reports that it has 0, so A has one piece that B
// lacks left to pass on; B reports 0 as well, fetched from A, and 1. When all
// four pieces are held by somebody, Next returns nothing more: the origin sent one
// copy, and the leechers trade the rest.
package policy
