package signing

import (
	"errors"
	"fmt"
	"time"
)

// Standing is how much the newest of a writer is worth, in figures that people are
// shown: nobody can tell withheld news from none, but how old the newest are, and how
// many sources were asked, everybody can see.
type Standing struct {
	State    State
	Signed   time.Time     // of the newest head; zero when there is none
	Age      time.Duration // since then
	Sources  int           // that showed this head, or an older one of the same history
	Asked    int           // sources that were asked
	Followed int64         // entries that are proven
}

// Standing returns what is to be shown at the time now about a writer, of whom sources of
// asked sources showed nothing newer than what is held.
func (t *Trusted) Standing(writer string, now time.Time, sources, asked int) Standing {
	h := t.Head(writer)
	s := Standing{State: t.State(writer, now), Signed: h.Time, Sources: sources, Asked: asked, Followed: h.Size}
	if h.Raw != nil {
		s.Age = max(0, now.Sub(h.Time))
	}
	return s
}

// String is one line: the state, the sources, the date.
func (s Standing) String() string {
	if s.Signed.IsZero() {
		return fmt.Sprintf("%s: %d of %d sources answered, no signed head is held", s.State, s.Sources, s.Asked)
	}
	return fmt.Sprintf("%s: newest of %d of %d sources, %d entries, signed %s, %s ago", s.State, s.Sources, s.Asked, s.Followed,
		s.Signed.UTC().Format("2006-01-02 15:04 UTC"), s.Age.Truncate(time.Second))
}

// ErrNotConfirmed: good enough to read with a warning, not to install.
var ErrNotConfirmed = errors.New("not confirmed well enough to install")

// Install returns nil when what the writer says may be installed: its state is fresh,
// and at least need sources agree. With fewer it may be that whoever controls the only
// one shows an old or a second history (an eclipse). Reading merely warns.
func (s Standing) Install(need int) error {
	switch {
	case s.State != StateFresh:
		return fmt.Errorf("%s: %w: only what is fresh is installed", s, ErrNotConfirmed)
	case s.Sources < need:
		return fmt.Errorf("%s: %w: %d sources are needed that agree", s, ErrNotConfirmed, need)
	}
	return nil
}
