package discover

import (
	"fmt"

	"handful/manifest/bencode"
)

const (
	// MaxOffer is the most bytes a datagram of the offers' group may have: it
	// passes every link unfragmented, IPv6's minimum of 1280 included.
	MaxOffer = 1200
	// MaxWriter is the most bytes of a writer's name in an offer.
	MaxWriter = 32
	// idLen is the length of a channel id in characters.
	idLen = 40
)

// solicitation asks everybody to repeat their offers soon.
const solicitation = "d1:q6:offerse"

// Offer says on the local network that a channel can be had from its sender, and
// carries the channel's newest update as far as it fits. Its content is not
// interpreted here: an id that names no channel, or an update that does not
// verify, is for the receiver to refuse.
type Offer struct {
	ID     string // the channel's id, 40 characters
	Port   uint16 // where the sender accepts BitTorrent connections, never 0
	Writer string // whose log the update belongs to, 1 to 32 bytes
	Update []byte // the update's bytes, may be empty
}

func (o Offer) check() error {
	switch {
	case len(o.ID) != idLen || !printable(o.ID):
		return fmt.Errorf("%w offer: channel id %.60q is not %d printable characters", ErrMalformed, o.ID, idLen)
	case o.Port == 0:
		return fmt.Errorf("%w offer: port 0", ErrMalformed)
	case len(o.Writer) == 0 || len(o.Writer) > MaxWriter || !printable(o.Writer):
		return fmt.Errorf("%w offer: writer %.60q is not 1 to %d printable characters", ErrMalformed, o.Writer, MaxWriter)
	}
	return nil
}

// printable reports whether s is ASCII without spaces and control characters, so
// that it can be shown on a terminal as it is.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// Marshal prints o. It fails with [ErrMalformed] when a field is out of its
// bounds or the whole is longer than [MaxOffer] bytes; the remedy for the latter
// is a shorter update.
func (o Offer) Marshal() ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	b := make([]byte, 0, MaxOffer)
	b = append(b, 'd')
	b = bencode.AppendString(b, "i")
	b = bencode.AppendString(b, o.ID)
	b = bencode.AppendString(b, "p")
	b = bencode.AppendInt(b, int64(o.Port))
	b = bencode.AppendString(b, "u")
	b = bencode.AppendString(b, o.Update)
	b = bencode.AppendString(b, "w")
	b = bencode.AppendString(b, o.Writer)
	b = append(b, 'e')
	if len(b) > MaxOffer {
		return nil, fmt.Errorf("%w offer: %d bytes, at most %d: the update of %d bytes must be shorter",
			ErrMalformed, len(b), MaxOffer, len(o.Update))
	}
	return b, nil
}

// ParseOffer reads what Marshal prints and nothing else. The result shares no
// memory with b.
func ParseOffer(b []byte) (Offer, error) {
	if len(b) > MaxOffer {
		return Offer{}, fmt.Errorf("%w offer: %d bytes, at most %d", ErrMalformed, len(b), MaxOffer)
	}
	var o Offer
	fields := 0
	r := bencode.NewReader(b)
	r.Dict(func(key string) {
		fields++
		switch key {
		case "i":
			o.ID = r.String()
		case "p":
			port := r.Int()
			if port < 1 || port > 65535 {
				r.Fail(fmt.Errorf("port %d", port))
				return
			}
			o.Port = uint16(port)
		case "u":
			o.Update = append([]byte{}, r.Bytes()...)
		case "w":
			o.Writer = r.String()
		default:
			r.Fail(fmt.Errorf("unknown key %.20q", key))
		}
	})
	if err := r.End(); err != nil {
		return Offer{}, fmt.Errorf("%w offer: %w", ErrMalformed, err)
	}
	// Keys are unique, so four known ones are exactly the four.
	if fields != 4 {
		return Offer{}, fmt.Errorf("%w offer: %d of 4 keys", ErrMalformed, fields)
	}
	if err := o.check(); err != nil {
		return Offer{}, err
	}
	return o, nil
}
