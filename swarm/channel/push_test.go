package channel

import (
	"testing"
	"time"

	"handful/signing"
)

// counting is a source with one log, which says how often it made an update, and from where.
type counting struct {
	Source
	size int64
	made []int64
}

func (c *counting) Holds(string) (Holding, bool) { return Holding{Size: c.size}, true }

func (c *counting) UpdateFor(_ string, size int64) (signing.Update, bool) {
	c.made = append(c.made, size)
	return signing.Update{Head: []byte("x"), Size: size}, true
}

// What follows soon after news is passed on together with what follows that, and never waits
// for more than a quarter of a second.
func TestPushTogether(t *testing.T) {
	c, now, _ := silent(t, nil)
	source := &counting{}
	c.source = source
	say := func(wait time.Duration) {
		*now = now.Add(wait)
		c.spread.pushDue(*now)
		source.size++
		c.Push("m", signing.Update{Head: []byte("x"), Size: source.size - 1}, 0)
	}
	for range 4 {
		say(time.Second)
	}
	if len(source.made) > 0 {
		t.Errorf("news that come each second waited: %d", source.made)
	}
	for range 10 {
		say(10 * time.Millisecond)
	}
	if len(source.made) > 0 {
		t.Errorf("passed on from %d after 100 ms", source.made)
	}
	if w := c.spread.wait(*now); w > pushEvery {
		t.Errorf("the next look is in %v", w)
	}
	*now = now.Add(pushEvery)
	if !c.spread.pushDue(*now) || len(source.made) != 1 || source.made[0] != 4 {
		t.Errorf("made updates from %d, want one from 4", source.made)
	}
	for range 100 {
		say(time.Millisecond)
	}
	*now = now.Add(pushEvery)
	if !c.spread.pushDue(*now) || len(source.made) != 2 || source.made[1] != source.size-maxTogether {
		t.Errorf("made updates from %d: too much is passed on unasked", source.made)
	}
	if c.spread.pushDue(now.Add(time.Hour)) {
		t.Error("something waits that was passed on")
	}
}
