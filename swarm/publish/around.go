package publish

import (
	"context"
	"fmt"
	"time"

	"handful/signing"
	"handful/swarm/channel"
)

// farewellTime is how long the word that a writer has left may take to leave this machine.
const farewellTime = 500 * time.Millisecond

// Around returns who is in the channel's swarm, this writer among them unless it is hidden.
func (p *Publisher) Around() channel.Around { return p.channel.Around() }

// verifyHere checks what others say of who is around, by the documents in force.
func (p *Publisher) verifyHere(said signing.Presence, now time.Time) error {
	root, targets := p.docs.newest()
	if root == nil {
		return fmt.Errorf("presence of writer %q: %w: no root document is known yet", said.Writer, signing.ErrUnknownWriter)
	}
	role, err := signing.WriterRoleOf(root, targets, said.Writer)
	if err != nil {
		return err
	}
	return role.VerifyPresence(p.ID(), said, now)
}

// sayHere says that the writer is around, again and again, until ctx ends, and then that it
// has left.
func (p *Publisher) sayHere(ctx context.Context) {
	t := time.NewTicker(channel.HereEvery)
	defer t.Stop()
	var last time.Time
	for {
		p.say(&last, false)
		select {
		case <-ctx.Done():
			p.say(&last, true)
			flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
			defer cancel()
			p.channel.Flush(flush)
			return
		case <-t.C:
		}
	}
}

// say says it once. A writer who may not publish says nothing.
func (p *Publisher) say(last *time.Time, left bool) {
	key := p.key()
	if key == nil || p.Failed() != nil {
		return
	}
	at := p.cfg.Now()
	if !at.After(*last) {
		at = last.Add(time.Millisecond)
	}
	said, err := signing.SignPresence(p.ID(), p.writer, at, left, key)
	if err != nil {
		p.cfg.Logger.Debug("not said who is around", "channel", p.ID(), "err", err)
		return
	}
	*last = at
	p.channel.Announce(said)
}
