package discover

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// maxSearch is the most bytes of a BEP 14 datagram that are read. BEP 14
	// asks senders to stay under 1400; a full Ethernet frame is let through.
	maxSearch = 1500
	// searchHashes is how many infohashes we put into one datagram: 20 lines of
	// 52 bytes keep it under 1200 bytes.
	searchHashes = 20
	// maxCookie bounds the opaque cookie of another client.
	maxCookie = 64
)

// ErrMalformed is wrapped by every error about a datagram or a stored value that
// does not have its documented form.
var ErrMalformed = errors.New("malformed")

// search is a BEP 14 announcement.
type search struct {
	Port       uint16
	Infohashes [][20]byte // at least one
	Cookie     string     // opaque, printable ASCII, may be empty
}

// append prints s as a datagram to the group host. The order and spelling of the
// headers are those of BEP 14's own example.
func (s search) append(b []byte, host netip.AddrPort) []byte {
	b = append(b, "BT-SEARCH * HTTP/1.1\r\nHost: "...)
	b = host.AppendTo(b)
	b = append(b, "\r\nPort: "...)
	b = strconv.AppendUint(b, uint64(s.Port), 10)
	for _, ih := range s.Infohashes {
		b = append(b, "\r\nInfohash: "...)
		b = hex.AppendEncode(b, ih[:])
	}
	if s.Cookie != "" {
		b = append(b, "\r\ncookie: "...)
		b = append(b, s.Cookie...)
	}
	return append(b, "\r\n\r\n\r\n"...)
}

// parseSearch reads a BEP 14 datagram of any client: header names in any case and
// order, unknown headers passed over, lines ended by CRLF or LF. What it accepts,
// it finds again in what append prints.
func parseSearch(b []byte) (search, error) {
	var s search
	if len(b) > maxSearch {
		return s, fmt.Errorf("%w BT-SEARCH: %d bytes, at most %d", ErrMalformed, len(b), maxSearch)
	}
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	if string(bytes.TrimSuffix(line, []byte("\r"))) != "BT-SEARCH * HTTP/1.1" {
		return s, fmt.Errorf("%w BT-SEARCH: request line %.40q", ErrMalformed, line)
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			break // the end of the headers; BEP 14 has nothing behind it
		}
		name, value, ok := strings.Cut(string(line), ":")
		if !ok {
			return s, fmt.Errorf("%w BT-SEARCH: header without colon %.40q", ErrMalformed, line)
		}
		if err := s.header(name, strings.Trim(value, " \t")); err != nil {
			return s, err
		}
	}
	switch {
	case s.Port == 0:
		return s, fmt.Errorf("%w BT-SEARCH: no Port", ErrMalformed)
	case len(s.Infohashes) == 0:
		return s, fmt.Errorf("%w BT-SEARCH: no Infohash", ErrMalformed)
	}
	return s, nil
}

func (s *search) header(name, value string) error {
	switch strings.ToLower(name) {
	case "port":
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil || n == 0 || s.Port != 0 {
			return fmt.Errorf("%w BT-SEARCH: Port %.40q", ErrMalformed, value)
		}
		s.Port = uint16(n)
	case "infohash":
		var ih [20]byte
		if len(value) != 2*len(ih) {
			return fmt.Errorf("%w BT-SEARCH: Infohash of %d characters", ErrMalformed, len(value))
		}
		if _, err := hex.Decode(ih[:], []byte(value)); err != nil {
			return fmt.Errorf("%w BT-SEARCH: Infohash %.40q", ErrMalformed, value)
		}
		s.Infohashes = append(s.Infohashes, ih)
	case "cookie":
		if s.Cookie != "" || len(value) > maxCookie {
			return fmt.Errorf("%w BT-SEARCH: cookie %.40q", ErrMalformed, value)
		}
		for i := range len(value) {
			if value[i] < 0x20 || value[i] > 0x7e {
				return fmt.Errorf("%w BT-SEARCH: cookie %.40q", ErrMalformed, value)
			}
		}
		s.Cookie = value
	}
	return nil
}
