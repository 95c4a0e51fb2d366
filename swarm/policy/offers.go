package policy

import (
	"slices"
	"time"
)

// How pieces spread among equals. If everybody asked whom he likes, some would be asked
// for more than they can send soon, while others have nothing to do. So whoever has room
// on its line says so to one who lacks a piece that few have: that one asks for it, or, if
// it comes already, for another. Nothing is bound to a line before that line is free, and
// since only the receiver decides, nothing comes twice.
const (
	offerWait = 2 * time.Second // for an answer to an offer
	offerRest = 4 * time.Second // without offers for whoever gave none, twice as long each time
	mostRest  = time.Minute     // at most
	atATime   = 2               // pieces offered to one peer and not asked for, at most

	firstAnswer  = 70 * time.Millisecond  // supposed from an offer to its answer, before any came
	answerMost   = 500 * time.Millisecond // that counts of one
	answerWeight = 0.05                   // of the newest
	answerSpan   = 1.5                    // of this time is offered ahead, and two blocks
	answerLate   = 4                      // times as long as usual, and it is not waited for
	leastLate    = 100 * time.Millisecond // the least of that
	leastAhead   = 32 << 10
)

// Offers is the account of what a node has offered its equals: members of the link and
// site. It is used by one goroutine.
type Offers struct {
	self   Key
	pieces int
	length int64 // bytes of a piece
	got    Set
	none   Set
	some   Set      // pieces that somebody may be offered
	open   []uint16 // by piece: peers that may be offered it
	copies []uint16 // by piece: peers that have it, or were offered it here
	peers  []*taker // in order of arrival, so that nothing depends on map order
	byPeer map[Peer]*taker
	due    int64         // bytes that were offered and not asked for, and whose answer is not late
	answer float64       // seconds from an offer to its answer, smoothed
	looked time.Duration // when offers were last taken back
}

// taker is a peer that may be offered something.
type taker struct {
	peer    Peer
	key     Key
	has     Set
	told    Set // was offered it
	open    Set // lacks what this node has, and was not offered it
	pending []pending
	rest    time.Duration // until when it is offered nothing
	resting time.Duration // how long that was, the last time; 0: it has answered since
	slow    bool          // its last answer was late: the next is not waited for at all
}

// pending is an offer without an answer.
type pending struct {
	piece int
	left  int64 // bytes of it that were not asked for
	at    time.Duration
	late  bool // its answer is: the line is free for others
}

// NewOffers returns the account of a node that has nothing, of a torrent with that many
// pieces of length bytes.
func NewOffers(self Key, pieces int, length int64) *Offers {
	return &Offers{
		self: self, pieces: pieces, length: max(length, 1), got: NewSet(pieces), none: NewSet(pieces), some: NewSet(pieces),
		open: make([]uint16, pieces), copies: make([]uint16, pieces), byPeer: make(map[Peer]*taker), answer: firstAnswer.Seconds(),
	}
}

func (o *Offers) taker(p Peer) *taker {
	return o.byPeer[p]
}

// review enters whether a peer may be offered a piece.
func (o *Offers) review(q *taker, piece int) {
	open := o.got.Has(piece) && !q.has.Has(piece) && !q.told.Has(piece)
	if open == q.open.Has(piece) {
		return
	}
	if open {
		q.open.Add(piece)
		o.open[piece]++
	} else {
		q.open.Remove(piece)
		o.open[piece]--
	}
	if o.open[piece] > 0 {
		o.some.Add(piece)
	} else {
		o.some.Remove(piece)
	}
}

// Join adds an equal that has said nothing yet.
func (o *Offers) Join(p Peer, key Key) {
	if o.taker(p) != nil {
		return
	}
	q := &taker{peer: p, key: key, has: NewSet(o.pieces), told: NewSet(o.pieces), open: NewSet(o.pieces)}
	o.peers = append(o.peers, q)
	o.byPeer[p] = q
	for i := next(o.got, o.none, o.none, o.none, o.none, 0); i >= 0; i = next(o.got, o.none, o.none, o.none, o.none, i+1) {
		o.review(q, i)
	}
}

// Leave forgets a peer.
func (o *Offers) Leave(p Peer) {
	q := o.taker(p)
	if q == nil {
		return
	}
	for i := range o.pieces {
		if q.has.Has(i) || q.told.Has(i) {
			o.copies[i]--
		}
		q.has.Add(i)
		o.review(q, i)
	}
	for i := range q.pending {
		o.give(&q.pending[i], q.pending[i].left)
	}
	delete(o.byPeer, p)
	o.peers = slices.DeleteFunc(o.peers, func(x *taker) bool { return x == q })
}

// Has records that a peer has a piece.
func (o *Offers) Has(p Peer, piece int) {
	q := o.taker(p)
	if q == nil || piece < 0 || piece >= o.pieces || q.has.Has(piece) {
		return
	}
	if q.has.Add(piece); !q.told.Has(piece) {
		o.copies[piece]++
	}
	o.review(q, piece)
}

// Got records that this node has a piece.
func (o *Offers) Got(piece int) {
	if piece < 0 || piece >= o.pieces || o.got.Has(piece) {
		return
	}
	o.got.Add(piece)
	for _, q := range o.peers {
		o.review(q, piece)
	}
}

// Asked records that a peer asked for so many bytes: an answer to what it was offered,
// whichever piece they are of.
func (o *Offers) Asked(p Peer, bytes int64, now time.Duration) {
	q := o.taker(p)
	if q == nil {
		return
	}
	for bytes > 0 && len(q.pending) > 0 {
		x := &q.pending[0]
		if x.left == o.length {
			o.answered(q, now-x.at)
		}
		n := min(bytes, x.left)
		o.give(x, n)
		bytes, q.resting = bytes-n, 0
		if x.left == 0 {
			q.pending = slices.Delete(q.pending, 0, 1)
		}
	}
}

// Passed records that a peer wants nothing for an offer of a piece: it has it, or gets it
// elsewhere.
func (o *Offers) Passed(p Peer, piece int, now time.Duration) {
	if q := o.taker(p); q != nil {
		q.pending = slices.DeleteFunc(q.pending, func(x pending) bool {
			if x.piece == piece {
				o.give(&x, x.left)
				q.resting = 0
				o.answered(q, now-x.at)
			}
			return x.piece == piece
		})
	}
}

// give takes bytes out of what is due for an offer.
func (o *Offers) give(x *pending, bytes int64) {
	x.left -= bytes
	if !x.late {
		o.due -= bytes
	}
}

// late is when an answer is not waited for any more.
func (o *Offers) late() time.Duration {
	return max(leastLate, time.Duration(answerLate*o.answer*float64(time.Second)))
}

// answered notes how long an answer took. Of who is slow for long, others learn nothing.
func (o *Offers) answered(q *taker, took time.Duration) {
	was := q.slow
	if q.slow = took >= o.late(); q.slow && was {
		return
	}
	o.answer += answerWeight * (min(took, answerMost).Seconds() - o.answer)
}

// Ahead returns how many bytes may be offered, or asked for and not sent, on a line of that
// many bytes a second: so much that it is busy while an offer is on its way, its answer comes
// back, and now and then one is not taken; and no more, since what is bound to one line
// cannot be sent by another that is free sooner.
func (o *Offers) Ahead(rate float64) int64 { return leastAhead + int64(rate*answerSpan*o.answer) }

// Due returns how many bytes were offered and not asked for, as long as that may still come
// soon.
func (o *Offers) Due() int64 { return o.due }

// Idle reports whether there is nothing to offer and nothing offered.
func (o *Offers) Idle() bool {
	return o.due == 0 && o.awaited() == 0 && next(o.some, o.none, o.none, o.none, o.none, 0) < 0
}

// awaited counts offers without an answer.
func (o *Offers) awaited() (n int) {
	for _, q := range o.peers {
		n += len(q.pending)
	}
	return n
}

// Next returns what to offer, as long as there is room for that many bytes: what fewest
// have comes first. Offers that were not answered for long are taken back.
func (o *Offers) Next(now time.Duration, room int64) (out []Show) {
	if now-o.looked >= leastLate/2 {
		o.looked = now
		for _, q := range o.peers {
			o.expire(q, now)
		}
	}
	for room > 0 {
		piece, q := o.choose(now)
		if q == nil {
			return out
		}
		q.told.Add(piece)
		o.copies[piece]++
		o.review(q, piece)
		q.pending = append(q.pending, pending{piece: piece, left: o.length, at: now, late: q.slow})
		if !q.slow {
			o.due += o.length
			room -= o.length
		}
		out = append(out, Show{Peer: q.peer, Piece: piece})
	}
	return out
}

// expire takes back what was offered to a peer that does not answer.
func (o *Offers) expire(q *taker, now time.Duration) {
	for len(q.pending) > 0 && now-q.pending[0].at >= offerWait {
		x := q.pending[0]
		q.pending = slices.Delete(q.pending, 0, 1)
		untouched := x.left == o.length
		o.give(&x, x.left)
		q.resting = min(max(offerRest, 2*q.resting), mostRest)
		if q.rest = now + q.resting; untouched {
			if q.told.Remove(x.piece); !q.has.Has(x.piece) {
				o.copies[x.piece]--
			}
			o.review(q, x.piece)
		}
	}
	for i := range q.pending {
		if x := &q.pending[i]; !x.late && now-x.at >= o.late() {
			x.late, q.slow = true, true
			o.due -= x.left
		}
	}
}

// choose finds the piece that fewest have, and one who lacks it; nil: there is none.
func (o *Offers) choose(now time.Duration) (piece int, to *taker) {
	for i := next(o.some, o.none, o.none, o.none, o.none, 0); i >= 0; i = next(o.some, o.none, o.none, o.none, o.none, i+1) {
		if to != nil && (o.copies[i] > o.copies[piece] || o.copies[i] == o.copies[piece] && o.self.weight(i) < o.self.weight(piece)) {
			continue
		}
		if q := o.lacking(i, now); q != nil {
			piece, to = i, q
		}
	}
	return piece, to
}

// lacking draws one of those who may be offered a piece: each node in another order, so
// that not all offer it to the same.
func (o *Offers) lacking(piece int, now time.Duration) (to *taker) {
	for _, q := range o.peers {
		if q.open.Has(piece) && len(q.pending) < atATime && now >= q.rest && !(len(q.pending) > 0 && q.pending[0].late) &&
			(to == nil || (q.key^o.self).weight(piece) > (to.key^o.self).weight(piece)) {
			to = q
		}
	}
	return to
}
