package publish

import (
	"errors"

	"handful/signing"
	"handful/swarm/channel"
)

// TargetsBytes returns nothing: this publisher grants no writers.
func (s source) TargetsBytes([32]byte) []byte { return nil }

// Targets is of no use to the writer who grants.
func (s sink) Targets(channel.Peer, [32]byte, []byte) {}

// Fork takes the proof that this writer has signed two histories.
func (s sink) Fork(_ channel.Peer, writer string, f signing.Fork) {
	p := s.p
	if writer != signing.MainWriter || p.cfg.Keys.Newest().VerifyFork(writer, f) != nil {
		return
	}
	for _, raw := range [][]byte{f.A, f.B} {
		if err := p.log.ObserveHead(raw); errors.Is(err, signing.ErrFork) {
			p.cfg.Logger.Error("this writer has signed two histories", "channel", p.ID(), "err", err)
			p.change(func() { p.failed = err })
		}
	}
}
