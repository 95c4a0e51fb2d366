package console

import "time"

// Reader is somebody who gets the read keys of a private channel through it.
type Reader struct {
	Channel string `json:"channel"` // 40 characters
	Name    string `json:"name"`
	Key     string `json:"key"` // public, of age: age1…
}

// Rekeyed says that a read key was sent to the readers of a private channel.
type Rekeyed struct {
	Channel string `json:"channel"`
	New     bool   `json:"new"`     // it seals all later entries; else it is the one that did so before
	Readers int    `json:"readers"` // to whom it was sent
	Index   int64  `json:"index"`   // of the entry that brings it; -1: there is none, since there are no readers
	Link    string `json:"link"`    // of the channel, with the key: a secret
}

// ChannelLink is a link to the newest of a channel.
type ChannelLink struct {
	Channel string `json:"channel"`
	Link    string `json:"link"` // of a private channel a secret
}

// ReaderKey is the public half of this machine's own key, by which a publisher can send
// it read keys.
type ReaderKey struct {
	Key  string `json:"key"` // age1…
	Path string `json:"path"`
}

func (Reader) Type() string      { return "reader" }
func (Rekeyed) Type() string     { return "rekeyed" }
func (ChannelLink) Type() string { return "link" }
func (ReaderKey) Type() string   { return "reader_key" }

func (l Reader) Show(time.Time) (string, string) { return Clean(l.Name) + "  " + Clean(l.Key), "" }

func (l Rekeyed) Show(time.Time) (string, string) {
	s := "rekeyed    later entries need a new key; "
	if !l.New {
		s = "sent       the key that entries have now; "
	}
	switch {
	case l.Readers == 0:
		s += "there are no readers to send it to: who has this link can read them"
	default:
		s += "sent to " + count(l.Readers, "reader") + "; others need this link"
	}
	return Clean(l.Link), s
}

func (l ChannelLink) Show(time.Time) (string, string) { return Clean(l.Link), "" }

func (l ReaderKey) Show(time.Time) (string, string) { return Clean(l.Key), "" }
