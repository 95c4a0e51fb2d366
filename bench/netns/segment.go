package netns

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// A Segment is one TCP segment with payload that left a host. Segments that the host's kernel leaves to the device to cut
// up are seen as one (at most 6000 bytes on a shaped link).
type Segment struct {
	At       time.Time // when it left the shaper
	From, To netip.AddrPort
	Seq      uint32 // sequence number of the payload's first byte
	Payload  []byte // valid during the call
}

// Lengths of headers, in bytes: RFC 894, 791, 9293.
const (
	ethernetHeader = 14
	ipv4Header     = 20
	tcpHeader      = 20
	typeIPv4       = 0x0800
	protocolTCP    = 6
)

// parseSegment reads an Ethernet frame; false for whatever is not TCP over IPv4 with payload, or is cut short. Nothing of
// the frame is copied.
func parseSegment(frame []byte) (s Segment, ok bool) {
	if len(frame) < ethernetHeader+ipv4Header+tcpHeader || binary.BigEndian.Uint16(frame[12:]) != typeIPv4 {
		return s, false
	}
	ip := frame[ethernetHeader:]
	total, head := int(binary.BigEndian.Uint16(ip[2:])), 4*int(ip[0]&15)
	fragment := binary.BigEndian.Uint16(ip[6:]) & 0x3fff // more fragments, or an offset
	if ip[0]>>4 != 4 || head < ipv4Header || ip[9] != protocolTCP || fragment != 0 || total > len(ip) || total < head+tcpHeader {
		return s, false
	}
	tcp := ip[head:total] // a short frame is padded behind total
	offset := 4 * int(tcp[12]>>4)
	if offset < tcpHeader || offset >= len(tcp) {
		return s, false
	}
	return Segment{
		From:    netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:16])), binary.BigEndian.Uint16(tcp)),
		To:      netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:20])), binary.BigEndian.Uint16(tcp[2:])),
		Seq:     binary.BigEndian.Uint32(tcp[4:]),
		Payload: tcp[offset:],
	}, true
}
