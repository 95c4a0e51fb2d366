package publish

import (
	"handful/signing"
	"handful/swarm/channel"
)

// Holds says that all that was signed can be asked for.
func (s source) Holds(writer string) (channel.Holding, bool) {
	if !s.own(writer) {
		return s.p.docs.holds(writer)
	}
	h := s.p.log.Head()
	return channel.Holding{Size: h.Size, Time: h.Time.Unix()}, h.Raw != nil
}

// UpdateWithin makes an update for a path, or an asker, that takes so many bytes.
func (s source) UpdateWithin(writer string, size int64, limit int) (signing.Update, bool) {
	if !s.own(writer) {
		return s.p.docs.updateWithin(writer, size, limit)
	}
	u, err := s.p.log.UpdateWithin(size, limit)
	return u, err == nil
}

// Traffic returns how many bytes of messages this publisher's channel has sent and received.
func (p *Publisher) Traffic() (sent, received int64) { return p.channel.Traffic() }
