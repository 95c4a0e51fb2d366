package swarm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"handful/manifest/bencode"
)

// Names of our BEP 10 extensions and of BEP 11's.
const (
	extSwarm  = "hf_swarm"
	extOrigin = "hf_origin"
	extPEX    = "ut_pex"
)

// Kinds of an hf_swarm payload.
const (
	kindHello byte = iota
	kindGrant
	kindHungry
	kindAskLayer
	kindLayer
	kindReady
	kindPing
	kindPong
	_ // 8 and 9: see hostwire.go
	_
	kindOffer
	kindPass
	kindPace
)

const (
	maxPieceList  = 1024     // piece indexes in one grant, hungry or offer message
	maxLabel      = 64       // bytes of a site label
	layerPart     = 32 << 10 // bytes of a layer in one message
	maxLayerBytes = 64 << 20 // bytes of one file's piece layer that are accepted
)

var errWire = errors.New("malformed hf_swarm message")

// hello is what one node tells another on each connection.
type hello struct {
	Machine [32]byte
	Site    string
}

func (h hello) bytes() []byte {
	b := append([]byte{kindHello}, 'd')
	b = bencode.AppendString(b, "l")
	b = bencode.AppendString(b, h.Site)
	b = bencode.AppendString(b, "m")
	b = bencode.AppendString(b, h.Machine[:])
	b = bencode.AppendString(b, "v")
	b = bencode.AppendInt(b, 1)
	return append(b, 'e')
}

// parseHello reads the body behind the kind byte. Unknown keys are ignored, so
// that later versions may say more.
func parseHello(body []byte) (h hello, err error) {
	r := bencode.NewReader(body)
	r.Dict(func(key string) {
		switch key {
		case "l":
			if s := r.Bytes(); len(s) <= maxLabel {
				h.Site = string(s)
			} else {
				r.Fail(fmt.Errorf("%w: site label of %d bytes", errWire, len(s)))
			}
		case "m":
			r.Fixed(h.Machine[:])
		default:
			r.Skip()
		}
	})
	return h, r.End()
}

// pieceList prints a grant, hungry or offer message.
func pieceList(kind byte, pieces []int) []byte {
	b := make([]byte, 1, 1+4*len(pieces))
	b[0] = kind
	for _, p := range pieces {
		b = binary.BigEndian.AppendUint32(b, uint32(p))
	}
	return b
}

// parsePieceList reads the body of a grant, hungry or offer message for a torrent of n
// pieces.
func parsePieceList(body []byte, n int) ([]int, error) {
	if len(body) == 0 || len(body)%4 != 0 || len(body)/4 > maxPieceList {
		return nil, fmt.Errorf("%w: piece list of %d bytes", errWire, len(body))
	}
	out := make([]int, 0, len(body)/4)
	for ; len(body) > 0; body = body[4:] {
		p := binary.BigEndian.Uint32(body)
		if int64(p) >= int64(n) {
			return nil, fmt.Errorf("%w: piece %d of %d", errWire, p, n)
		}
		out = append(out, int(p))
	}
	return out, nil
}

// layerMessage asks for, or carries, a part of a file's piece layer.
type layerMessage struct {
	Root   [32]byte
	Offset int64  // bytes
	Total  int64  // bytes of the whole layer; 0: not known here; only in answers
	Data   []byte // aliases the message; only in answers
}

func (m layerMessage) bytes(kind byte) []byte {
	b := append([]byte{kind}, 'd')
	b = bencode.AppendString(b, "o")
	b = bencode.AppendInt(b, m.Offset)
	b = bencode.AppendString(b, "r")
	b = bencode.AppendString(b, m.Root[:])
	if kind == kindLayer {
		b = bencode.AppendString(b, "t")
		b = bencode.AppendInt(b, m.Total)
		b = bencode.AppendString(b, "v")
		b = bencode.AppendString(b, m.Data)
	}
	return append(b, 'e')
}

func parseLayerMessage(body []byte) (m layerMessage, err error) {
	r := bencode.NewReader(body)
	r.Dict(func(key string) {
		switch key {
		case "o":
			m.Offset = r.Int()
		case "r":
			r.Fixed(m.Root[:])
		case "t":
			m.Total = r.Int()
		case "v":
			m.Data = r.Bytes()
		default:
			r.Skip()
		}
	})
	if err := r.End(); err != nil {
		return m, err
	}
	switch {
	case m.Offset < 0 || m.Offset%32 != 0,
		m.Total < 0 || m.Total > maxLayerBytes || m.Total%32 != 0,
		len(m.Data) > layerPart || len(m.Data)%32 != 0:
		return m, fmt.Errorf("%w: layer part of %d bytes at %d of %d", errWire, len(m.Data), m.Offset, m.Total)
	}
	return m, nil
}
