package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"handful/swarm"
	"handful/swarm/policy"
)

// Explained is the head of `fetch explain`; the pieces follow it.
type Explained struct {
	Infohash    string   `json:"infohash"`
	Name        string   `json:"name"`
	State       string   `json:"state"` // as in Item
	Bytes       int64    `json:"bytes"`
	Done        int64    `json:"done"`
	Pieces      int      `json:"pieces"`
	PieceLength int64    `json:"piece_length"`
	Received    Received `json:"received"`
	Wasted      int64    `json:"wasted"`
}

// Piece tells how one piece came, or why it has not.
type Piece struct {
	Index  int          `json:"index"`
	Last   int          `json:"last,omitempty"`   // of torrents of more than 65536 pieces: it is about
	Pieces int          `json:"pieces,omitempty"` // so many from index to last
	State  string       `json:"state"`            // received, reused, expected, missing
	From   string       `json:"from"`             // HOST:PORT of who sent most of it, or is to send it
	Client string       `json:"client,omitempty"` // as that peer names itself
	Tier   string       `json:"tier"`             // of that peer
	Reason string       `json:"reason"`           // why there and not nearer: nearest, granted, delegate, turn, spill, stalled, open
	KeptBy string       `json:"kept_by,omitempty"`
	Waited float64      `json:"waited"` // seconds, from when somebody was known to have it
	Views  int          `json:"views"`  // nodes of ours where it was looked for
	Bytes  int64        `json:"bytes"`  // received from that peer
	Also   []PieceShare `json:"also,omitempty"`
}

// PieceShare is what another peer sent of a piece.
type PieceShare struct {
	From   string `json:"from"`
	Client string `json:"client,omitempty"`
	Tier   string `json:"tier"`
	Bytes  int64  `json:"bytes"`
}

func (Explained) Type() string { return "explained" }
func (Piece) Type() string     { return "piece" }

// ExplainedOf shows a node's account of an item.
func ExplainedOf(e swarm.Explanation) (Explained, []Piece) {
	s := e.Item
	head := Explained{
		Infohash: s.Infohash.String(), Name: s.Name, State: StateOf(s), Bytes: s.Bytes, Done: s.Done,
		Pieces: s.Pieces, PieceLength: e.PieceLength, Received: ReceivedOf(s), Wasted: s.Wasted,
	}
	pieces := make([]Piece, 0, len(e.Pieces))
	for _, p := range e.Pieces {
		pieces = append(pieces, pieceOf(p))
	}
	return head, pieces
}

func pieceOf(p swarm.PieceAccount) Piece {
	out := Piece{Index: p.First, State: string(p.State), Waited: p.Waited.Seconds(), Views: p.Views}
	if p.Last > p.First {
		out.Last, out.Pieces = p.Last, p.Pieces
	}
	switch {
	case p.State == swarm.PieceReused:
		out.Tier = "reused"
	case p.State == swarm.PieceMissing && p.Claimed:
		out.Reason = reasonWaits
	case p.State == swarm.PieceMissing:
		out.Reason = reasonNobody
	default:
		out.Reason = p.Reason.String()
	}
	for i, d := range p.From {
		if i == 0 {
			out.From, out.Client, out.Tier, out.Bytes = d.From.Addr, d.From.Client, d.Tier.String(), d.Bytes
			continue
		}
		out.Also = append(out.Also, PieceShare{From: d.From.Addr, Client: d.From.Client, Tier: d.Tier.String(), Bytes: d.Bytes})
	}
	if p.Kept != (swarm.Who{}) {
		out.KeptBy = p.Kept.String()
	}
	return out
}

// Reasons why a piece is missing.
const (
	reasonWaits  = "waits"
	reasonNobody = "nobody"
)

// Why is the reason as a sentence.
func (l Piece) Why() string {
	switch l.Reason {
	case policy.Nearest.String():
		return "nobody nearer had it"
	case policy.Granted.String():
		return "the origin granted it to this node"
	case policy.Delegate.String():
		return "nobody nearer had it, and this node is the delegate that brings it"
	case policy.Turn.String():
		return "nobody nearer had it, and those before this node let their turn pass"
	case policy.Spill.String():
		return cmp.Or(Clean(l.KeptBy), "its first holder") + " kept it waiting"
	case policy.Stalled.String():
		return "nothing came from anybody, so everybody was asked"
	case policy.Open.String():
		return "nobody nearer had it, and that client knows no turns"
	case reasonWaits:
		return "somebody has it, and this node waits for its turn or for room"
	case reasonNobody:
		return "nobody is known to have it"
	}
	if l.State == string(swarm.PieceReused) {
		return "it was on disk"
	}
	return Clean(l.Reason)
}

// who is the peer as a person reads it.
func (l Piece) who() string {
	switch {
	case l.From == "" && l.State == string(swarm.PieceReceived):
		return "a peer that has left"
	case l.From == "":
		return "-"
	case l.Client == "":
		return Clean(l.From)
	}
	return fmt.Sprintf("%s (%s)", Clean(l.From), Clean(l.Client))
}

func (l Explained) Show(time.Time) (string, string) {
	s := fmt.Sprintf("%-9s  %s  %s", Clean(l.State), Clean(l.Name), Bytes(l.Bytes))
	if l.Pieces > 0 {
		s += fmt.Sprintf(", %s of %s", count(l.Pieces, "piece"), Bytes(l.PieceLength))
	}
	if from := l.Received.text(); from != "" {
		s += "\nreceived   " + from
	}
	if l.Wasted > 0 {
		s += "\nwasted     " + Bytes(l.Wasted)
	}
	return s, ""
}

func (l Piece) Show(time.Time) (string, string) {
	return strings.TrimSuffix(ExplainTable([]Piece{l}), "\n"), ""
}

// answer is what pieces have in common that stand in one row of the table.
type answer struct{ who, tier, state, why string }

// row is one row of the table.
type row struct {
	answer
	pieces      int
	short, long float64 // waited, seconds
	runs        []string
	from, to    int // the run that is not in runs yet
}

// maxRuns is how many runs of pieces a row names.
const maxRuns = 6

// ExplainTable groups pieces, which are in order, by who sent them and why: a table
// for a person, without its last column where that is long.
func ExplainTable(pieces []Piece) string {
	rows := make(map[answer]*row)
	var order []*row
	for _, p := range pieces {
		a := answer{who: p.who(), tier: p.Tier, state: p.State, why: p.Why()}
		r := rows[a]
		if r == nil {
			r = &row{answer: a, short: p.Waited, long: p.Waited, from: p.Index, to: p.Index - 1}
			rows[a] = r
			order = append(order, r)
		}
		r.add(p)
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "pieces\ttier\twaited\tfrom\twhy not nearer\twhich")
	for _, r := range order {
		tier := cmp.Or(Clean(r.tier), "-")
		if r.state == string(swarm.PieceExpected) {
			tier += ", awaited"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", r.pieces, tier, r.waited(), r.who, r.why, r.which())
	}
	t.Flush()
	return b.String()
}

func (r *row) add(p Piece) {
	r.pieces += max(1, p.Pieces)
	r.short, r.long = min(r.short, p.Waited), max(r.long, p.Waited)
	if p.Index != r.to+1 {
		r.endRun()
		r.from = p.Index
	}
	r.to = max(p.Index, p.Last)
}

func (r *row) endRun() {
	if r.to > r.from {
		r.runs = append(r.runs, fmt.Sprintf("%d-%d", r.from, r.to))
	} else {
		r.runs = append(r.runs, fmt.Sprint(r.from))
	}
}

func (r *row) which() string {
	r.endRun()
	runs := slices.Clone(r.runs[:min(len(r.runs), maxRuns)])
	s := strings.Join(runs, ", ")
	if more := len(r.runs) - len(runs); more > 0 {
		s += fmt.Sprintf(" and %d more runs", more)
	}
	return s
}

func (r *row) waited() string {
	seconds := func(s float64) string { return Span(time.Duration(s * float64(time.Second))) }
	short, long := seconds(r.short), seconds(r.long)
	switch {
	case r.long == 0:
		return "-"
	case short == long:
		return long
	}
	return short + " to " + long
}
