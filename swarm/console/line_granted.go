package console

import (
	"fmt"
	"strings"
	"time"

	"handful/swarm"
)

// Shared is how an origin has shared a torrent out since its node started.
type Shared struct {
	Times    [4]int  `json:"times"`    // pieces granted never, once, twice, and three times or more
	Leechers int     `json:"leechers"` // that are connected and lack something
	Served   int     `json:"served"`   // that were sent data in the last second
	Ever     int     `json:"ever"`     // that were ever sent data
	Copies   float64 `json:"copies"`   // payload sent / size
}

// Granted tells whom an origin let see a piece.
type Granted struct {
	Infohash string    `json:"infohash"`
	Index    int       `json:"index"`
	Times    int       `json:"times"` // that it was granted
	Held     int       `json:"held"`  // leechers that are connected and have it
	To       []Grantee `json:"to"`    // in order; of many, the first eight
}

// Grantee is a leecher that a piece was granted to.
type Grantee struct {
	Addr   string `json:"addr"` // HOST:PORT; empty: gone for long
	Client string `json:"client,omitempty"`
}

func (Granted) Type() string { return "granted" }

// SharedOf shows an origin's grants; nil of what is no origin's.
func SharedOf(s swarm.ItemSnapshot) *Shared {
	g := s.Granted
	if g == nil {
		return nil
	}
	out := &Shared{Times: g.Times, Leechers: g.Leechers, Served: g.Served, Ever: g.Ever}
	if s.Bytes > 0 {
		out.Copies = float64(s.Uploaded) / float64(s.Bytes)
	}
	return out
}

// GrantedOf shows whom the pieces of an item were granted to.
func GrantedOf(infohash string, pieces []swarm.GrantedPiece) []Granted {
	out := make([]Granted, 0, len(pieces))
	for _, p := range pieces {
		g := Granted{Infohash: infohash, Index: p.Piece, Times: p.Times, Held: p.Held, To: []Grantee{}}
		for _, w := range p.To {
			g.To = append(g.To, Grantee{Addr: w.Addr, Client: w.Client})
		}
		out = append(out, g)
	}
	return out
}

// text is one line for a person; empty while nobody has come.
func (s *Shared) text() string {
	if s == nil || s.Times[1]+s.Times[2]+s.Times[3] == 0 && s.Leechers == 0 && s.Ever == 0 {
		return ""
	}
	var parts []string
	for i, word := range []string{"never", "once", "twice", "more often"} {
		if s.Times[i] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", s.Times[i], word))
		}
	}
	return fmt.Sprintf("pieces granted: %s · %s, %d served now, %d in all · %.2f copies sent",
		strings.Join(parts, ", "), count(s.Leechers, "leecher"), s.Served, s.Ever, s.Copies)
}

func (l Granted) Show(time.Time) (string, string) {
	var to []string
	for _, w := range l.To {
		switch {
		case w.Addr == "":
			to = append(to, "a peer that has left")
		case w.Client == "":
			to = append(to, Clean(w.Addr))
		default:
			to = append(to, fmt.Sprintf("%s (%s)", Clean(w.Addr), Clean(w.Client)))
		}
	}
	return fmt.Sprintf("piece %d, granted %d×, held by %d: %s", l.Index, l.Times, l.Held, strings.Join(to, ", ")), ""
}
