package follow

import (
	"handful/signing"
	"handful/swarm/channel"
)

// Holds says what is kept of a writer.
func (h held) Holds(writer string) (channel.Holding, bool) {
	head := h.t.Head(writer)
	if head.Raw == nil {
		return channel.Holding{}, false
	}
	first, _ := h.t.Held(writer)
	return channel.Holding{First: first, Size: head.Size, Time: head.Time.Unix()}, true
}

func (h held) UpdateWithin(writer string, size int64, limit int) (signing.Update, bool) {
	return h.t.UpdateWithin(writer, size, limit)
}
