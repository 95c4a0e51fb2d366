package main

import (
	"bytes"
	"encoding/binary"
)

// Of the peer wire protocol (BEP 3).
const (
	handshakeOpening = "\x13BitTorrent protocol"
	handshakeLength  = 68
	idPiece          = 7
	pieceHeader      = 9       // id, index, begin
	maxMessage       = 4 << 20 // longer is no message that any client here sends
)

// A pieceStream is one direction of a TCP connection between peers, of which it tells the bytes of blocks (the payload of
// Piece messages) from all else. Segments may come in any order and more than once, as an observer at the sender's link sees
// them when some were lost. A stream that it cannot read, as it is encrypted or is no BitTorrent, is data as a whole. The
// zero value is ready for the stream's first segment.
type pieceStream struct {
	begun  bool
	next   uint32            // sequence number of the first byte not read yet
	early  map[uint32][]byte // segments behind a gap, by their first byte
	held   int               // bytes in early
	opaque bool

	hash    [20]byte // info hash of the handshake
	shaken  bool     // the handshake was read
	head    []byte   // of what is not read whole yet: handshake, or length and id of a message
	left    int      // bytes of the message under way
	isBlock bool     // of which these are of a block
}

// searchIn is how many bytes may stand before the handshake: an encryption handshake that then goes on in plain text.
const searchIn = 4 << 10

// maxHeld bounds what is held behind a gap; a sender's window is smaller.
const maxHeld = 16 << 20

// take reads a segment and returns how many bytes of blocks that made readable.
func (p *pieceStream) take(seq uint32, payload []byte) (blocks int64) {
	if !p.begun {
		p.begun, p.next, p.early = true, seq, map[uint32][]byte{}
	}
	switch ahead := int32(seq - p.next); {
	case ahead > 0:
		if p.held+len(payload) > maxHeld { // whatever the gap was, it is not waited for any longer
			blocks = int64(p.held + len(payload))
			p.next, p.held, p.opaque = seq+uint32(len(payload)), 0, true
			clear(p.early)
			return blocks
		}
		if len(payload) > len(p.early[seq]) {
			p.held += len(payload) - len(p.early[seq])
			p.early[seq] = bytes.Clone(payload)
		}
		return 0
	case ahead < 0 && int(-ahead) >= len(payload):
		return 0 // sent before
	default:
		payload = payload[-ahead:]
		p.next += uint32(len(payload))
	}
	blocks = p.read(payload)
	for len(p.early) > 0 {
		b, ok := p.early[p.next] // nearly always the next one fits
		if ok {
			blocks += p.release(p.next, b)
			continue
		}
		before := len(p.early)
		for at, b := range p.early {
			if int32(p.next-at) > 0 {
				blocks += p.release(at, b)
			}
		}
		if len(p.early) == before {
			break
		}
	}
	return blocks
}

// release reads what a held segment adds.
func (p *pieceStream) release(at uint32, b []byte) (blocks int64) {
	delete(p.early, at)
	p.held -= len(b)
	if past := int(int32(p.next - at)); past < len(b) {
		p.next += uint32(len(b) - past)
		blocks = p.read(b[past:])
	}
	return blocks
}

// read goes on with the next bytes of the stream.
func (p *pieceStream) read(b []byte) (blocks int64) {
	if !p.shaken && !p.opaque {
		if b, blocks = p.handshake(b); b == nil {
			return blocks
		}
	}
	for len(b) > 0 {
		switch {
		case p.opaque:
			return blocks + int64(len(b))
		case p.left > 0:
			n := min(p.left, len(b))
			if p.isBlock {
				blocks += int64(n)
			}
			p.left -= n
			b = b[n:]
		default:
			b = p.header(b)
		}
	}
	return blocks
}

// handshake looks for it at the beginning, and returns what comes behind it.
func (p *pieceStream) handshake(b []byte) (rest []byte, blocks int64) {
	p.head = append(p.head, b...)
	at := bytes.Index(p.head, []byte(handshakeOpening))
	switch {
	case at >= 0 && len(p.head) >= at+handshakeLength:
		p.shaken = true
		p.hash = [20]byte(p.head[at+28:])
		rest = p.head[at+handshakeLength:]
		p.head = nil
		return rest, 0
	case at < 0 && len(p.head) > searchIn:
		p.opaque = true
		blocks = int64(len(p.head))
		p.head = nil
		return nil, blocks
	}
	return nil, 0
}

// header reads on in the length and id of a message, and returns what comes behind them.
func (p *pieceStream) header(b []byte) []byte {
	p.isBlock = false
	for len(b) > 0 {
		p.head = append(p.head, b[0])
		b = b[1:]
		if len(p.head) < 4 {
			continue
		}
		length := int(binary.BigEndian.Uint32(p.head))
		switch {
		case length > maxMessage:
			p.opaque = true
		case length == 0: // keep-alive
		case len(p.head) == 4: // its id comes next
			continue
		case p.head[4] != idPiece:
			p.left = length - 1
		case length < pieceHeader:
			p.opaque = true
		case len(p.head) < 4+pieceHeader: // index and begin
			continue
		default:
			p.left, p.isBlock = length-pieceHeader, true
		}
		p.head = p.head[:0]
		return b
	}
	return b
}
