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
	if past := h.kept(); past != nil {
		if oldest, size, ok := past.holds(writer); ok && size >= first {
			first = min(first, oldest)
		}
	}
	out := channel.Holding{First: first, Size: head.Size, Time: head.Time.Unix()}
	if root := h.t.Root(); root != nil {
		out.Root = root.Version()
	}
	if targets := h.t.Targets(); targets != nil {
		out.Targets = targets.Version()
	}
	return out, true
}

func (h held) UpdateWithin(writer string, size int64, limit int) (signing.Update, bool) {
	return h.t.UpdateWithin(writer, size, limit)
}
