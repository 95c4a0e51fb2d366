package channel

import (
	"errors"
	"slices"
	"testing"
	"time"

	"handful/signing"
	"handful/swarm"
)

// silent is a channel whose swarm is empty, with a clock that a test sets.
func silent(t *testing.T, verify func(signing.Presence, time.Time) error) (c *Channel, now *time.Time, told *int) {
	t.Helper()
	at, n := time.Unix(1766400000, 0), 0
	c = &Channel{gossip: &swarm.Gossip{}, now: func() time.Time { return at }}
	cfg := Config{VerifyHere: verify, Around: func() { n++ }}
	c.spread = newSpread(c, cfg)
	c.around = newAround(c, cfg)
	return c, &at, &n
}

// here is what a peer tells: with a first byte of 1 in its signature it verifies.
func here(writer string, at time.Time, left bool, age time.Duration, good byte) message {
	return message{answer: true, topic: topicHere, writer: writer, total: at.UnixMilli(), left: left, offset: int64(age / time.Second), value: append([]byte{good}, make([]byte, 63)...)}
}

func TestAround(t *testing.T) {
	looked := 0
	c, now, told := silent(t, func(p signing.Presence, _ time.Time) error {
		looked++
		if p.Sig[0] != 1 {
			return errors.New("forged")
		}
		return nil
	})
	is := func(when string, want ...string) {
		t.Helper()
		if got := c.Around().Writers; !slices.Equal(got, want) {
			t.Errorf("%s: %q are around, want %q", when, got, want)
		}
	}
	hear := func(m message) { c.around.heard(1, m) }
	hear(here("alice", *now, false, 0, 0))
	is("a forged word")
	hear(here("alice", *now, false, 0, 1))
	hear(here("bob", *now, false, 80*time.Second, 1)) // heard by others long ago
	is("two words", "alice", "bob")
	if *told != 2 {
		t.Errorf("told %d times of two changes", *told)
	}

	before := looked
	hear(here("alice", *now, false, 0, 1))
	hear(here("alice", now.Add(-time.Second), true, 0, 1))
	if is("what is not newer", "alice", "bob"); looked != before {
		t.Errorf("%d signatures of old words were looked at", looked-before)
	}
	*now = now.Add(11 * time.Second)
	c.around.expire(*now)
	is("bob was heard last 91 s ago", "alice")
	if *told != 3 {
		t.Errorf("told %d times, want 3", *told)
	}
	hear(here("alice", *now, true, 0, 1))
	is("alice has left")
	hear(here("alice", now.Add(-time.Millisecond), false, 0, 1))
	is("an older word of hers")
	hear(here("carol", *now, false, 90*time.Second, 1))
	is("a word that is over already")

	*now = now.Add(2*signing.MaxPresenceAge + time.Second)
	c.around.expire(*now)
	if len(c.around.said) != 0 {
		t.Errorf("%d words are kept for ever", len(c.around.said))
	}
}

// However fast a writer signs, what it says is taken and passed on a few times only, and
// costs no signature.
func TestAroundFlood(t *testing.T) {
	looked := 0
	c, now, _ := silent(t, func(signing.Presence, time.Time) error { looked++; return nil })
	for i := range 1000 {
		c.around.heard(1, here("alice", now.Add(time.Duration(i)*time.Millisecond), i%2 == 1, 0, 1))
	}
	if looked > sayBurst+1 {
		t.Errorf("%d of 1000 words at once were taken", looked)
	}
	*now = now.Add(sayEvery + time.Second)
	c.around.heard(1, here("alice", *now, false, 0, 1))
	if got := c.Around().Writers; len(got) != 1 {
		t.Errorf("%q are around after the flood", got)
	}
}
