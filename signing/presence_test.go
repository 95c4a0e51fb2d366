package signing

import (
	"errors"
	"testing"
	"time"
)

func TestPresence(t *testing.T) {
	root, now := testRoot(t), testTime
	alice := seedKey(5)
	targets, err := NewTargets(TargetsParams{Expires: testExpiry, Writers: []WriterParams{{Name: "alice", Role: oneKey(alice)}}})
	if err != nil {
		t.Fatal(err)
	}
	verify := func(p Presence, at time.Time) error {
		role, err := WriterRoleOf(root, targets, p.Writer)
		if err != nil {
			return err
		}
		return role.VerifyPresence(root.ID(), p, at)
	}
	said, err := SignPresence(root.ID(), "alice", now, false, alice)
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(*Presence)) Presence { p := said; f(&p); return p }
	sign := func(id ID, writer string) Presence {
		p, err := SignPresence(id, writer, now, false, alice)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var other ID
	copy(other[:], "another channel")
	for name, tt := range map[string]struct {
		p    Presence
		at   time.Time
		want error
	}{
		"as it was said":      {said, now, nil},
		"as old as it may be": {said, now.Add(MaxPresenceAge), nil},
		"too old":             {said, now.Add(MaxPresenceAge + time.Second), ErrRollback},
		"of the future":       {said, now.Add(-MaxAhead - time.Second), ErrFuture},
		"later than signed":   {change(func(p *Presence) { p.Time++ }), now, ErrForged},
		"turned into leaving": {change(func(p *Presence) { p.Left = true }), now, ErrForged},
		"of somebody else":    {change(func(p *Presence) { p.Writer = MainWriter }), now, ErrForged},
		"by another's key":    {sign(root.ID(), MainWriter), now, ErrForged},
		"for another channel": {sign(other, "alice"), now, ErrForged},
		"of no writer":        {sign(root.ID(), "mallory"), now, ErrUnknownWriter},
	} {
		if err := verify(tt.p, tt.at); !errors.Is(err, tt.want) {
			t.Errorf("a presence %s: %v, want %v", name, err, tt.want)
		}
	}
	stranger := NewTrusted(root.ID())
	if err := stranger.VerifyPresence(said, now); !errors.Is(err, ErrUnknownWriter) {
		t.Errorf("without documents: %v", err)
	}
	if err := stranger.UpdateRoot(root.Bytes()); err != nil {
		t.Fatal(err)
	}
	m, err := SignPresence(root.ID(), MainWriter, now, true, onlineKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.VerifyPresence(m, now); err != nil {
		t.Errorf("the main writer: %v", err)
	}
	if err := stranger.VerifyPresence(said, now); !errors.Is(err, ErrUnknownWriter) {
		t.Errorf("a writer whom no document names: %v", err)
	}
	if _, err := SignPresence(root.ID(), "../x", now, false, alice); err == nil {
		t.Error("a presence of no valid name was signed")
	}
}

// A head cannot be taken for a presence, nor the other way round: what is signed begins
// otherwise.
func TestPresenceIsNoHead(t *testing.T) {
	p := Presence{Writer: MainWriter, Time: testTime.UnixMilli()}
	if got := string(p.message(testRoot(t).ID())); got[:len(presencePrefix)] != "handful-here/v1\n" {
		t.Errorf("a presence is signed as %q", got)
	}
	if got := string(cosignMessage("x", 1)); got[:len("cosignature/v1")] != "cosignature/v1" {
		t.Errorf("a head is signed as %q", got)
	}
}
