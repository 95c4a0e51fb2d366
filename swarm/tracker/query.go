package tracker

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Bounds of an HTTP query.
const (
	maxQuery      = 8 << 10 // bytes, as sent
	maxClaims     = 4       // addresses that an announce may claim; the rest are ignored
	maxScrape     = 74      // infohashes of one scrape: what fits a BEP 15 packet; the rest are ignored
	maxKeyLen     = 64      // bytes of the parameter "key" that count
	missing       = "%s is missing"
	wrongLength   = "%s has %d bytes where 20 were expected"
	wrongEscape   = "the query has a malformed %%-escape"
	tooLong       = "the query is longer than %d bytes"
	notAPort      = "port %s is not a number from 0 to 65535"
	nothingNamed  = "a scrape must name at least one info_hash"
	noFullScrapes = nothingNamed + ": what is served here is not listed"
)

// announceQuery is the query of an HTTP announce.
type announceQuery struct {
	infohash [20]byte
	peerID   [20]byte
	port     uint16
	event    event
	seed     bool
	numWant  int
	key      string
	claims   []netip.AddrPort
	full     bool // compact=0: dictionaries are wanted
	noPeerID bool
}

func refusef(format string, a ...any) error { return refusal(fmt.Sprintf(format, a...)) }

// eachParam calls each with the parameters of a raw query in their order, until it
// returns an error. Both spellings of a space are read: %20 and +.
func eachParam(raw string, each func(key, value string) error) error {
	if len(raw) > maxQuery {
		return refusef(tooLong, maxQuery)
	}
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, ok := unescape(k)
		value, ok2 := unescape(v)
		if !ok || !ok2 {
			return refusef(wrongEscape)
		}
		if err := each(key, value); err != nil {
			return err
		}
	}
	return nil
}

// unescape undoes percent escapes. It is false for a % without two hex digits.
func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			hi, ok := nibble(s[i+1])
			lo, ok2 := nibble(s[i+2])
			if !ok || !ok2 {
				return "", false
			}
			b = append(b, hi<<4|lo)
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b), true
}

func nibble(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// fixed copies a value of exactly 20 bytes.
func fixed(dst *[20]byte, key, value string) error {
	if len(value) != len(dst) {
		return refusef(wrongLength, key, len(value))
	}
	copy(dst[:], value)
	return nil
}

// parseAnnounce reads the raw query of an announce. Of a parameter given twice the
// first counts, except of the claims. A number that is of no consequence is taken
// as not given when it is malformed. The error is a refusal.
func parseAnnounce(raw string) (announceQuery, error) {
	q := announceQuery{numWant: defaultNumWant}
	seen := make(map[string]bool, 16)
	err := eachParam(raw, func(key, value string) (err error) {
		switch key {
		case "ip", "ipv4", "ipv6":
			q.claim(value)
			return nil
		case "info_hash", "peer_id", "port", "event", "left", "numwant", "key", "compact", "no_peer_id":
		default:
			return nil
		}
		if seen[key] {
			return nil
		}
		seen[key] = true
		return q.set(key, value)
	})
	if err != nil {
		return announceQuery{}, err
	}
	for _, key := range []string{"info_hash", "peer_id", "port"} {
		if !seen[key] {
			return announceQuery{}, refusef(missing, key)
		}
	}
	for i, a := range q.claims {
		if a.Port() == 0 {
			q.claims[i] = netip.AddrPortFrom(a.Addr(), q.port)
		}
	}
	return q, nil
}

// set reads one parameter.
func (q *announceQuery) set(key, value string) error {
	switch key {
	case "info_hash":
		return fixed(&q.infohash, key, value)
	case "peer_id":
		return fixed(&q.peerID, key, value)
	case "port":
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return refusef(notAPort, strconv.QuoteToASCII(value[:min(len(value), 20)]))
		}
		q.port = uint16(n)
	case "event":
		q.event = parseEvent(value)
	case "left":
		n, err := strconv.ParseInt(value, 10, 64)
		q.seed = err == nil && n == 0
	case "numwant":
		if n, err := strconv.Atoi(value); err == nil {
			q.numWant = clampNumWant(n)
		}
	case "key":
		q.key = value[:min(len(value), maxKeyLen)]
	case "compact":
		q.full = value == "0"
	case "no_peer_id":
		q.noPeerID = value == "1"
	}
	return nil
}

func parseEvent(s string) event {
	switch s {
	case "completed":
		return eventCompleted
	case "started":
		return eventStarted
	case "stopped":
		return eventStopped
	}
	return eventNone // also BEP 21's "paused"
}

// clampNumWant bounds the number of peers asked for; a negative one asks for the
// default.
func clampNumWant(n int) int {
	if n < 0 {
		return defaultNumWant
	}
	return min(n, maxNumWant)
}

// claim notes an address, or, as BEP 7 allows, an address and a port. Anything else
// is ignored, a host name too.
func (q *announceQuery) claim(value string) {
	if len(q.claims) == maxClaims {
		return
	}
	a, err := netip.ParseAddrPort(value)
	if err != nil {
		ip, err := netip.ParseAddr(value)
		if err != nil {
			return
		}
		a = netip.AddrPortFrom(ip, 0)
	}
	q.claims = append(q.claims, netip.AddrPortFrom(plain(a.Addr()), a.Port()))
}

// parseScrape reads the raw query of a scrape: at least one infohash, each once, at
// most maxScrape. The error is a refusal.
func parseScrape(raw string) (hashes [][20]byte, err error) {
	seen := make(map[[20]byte]bool)
	err = eachParam(raw, func(key, value string) error {
		if key != "info_hash" || len(hashes) == maxScrape {
			return nil
		}
		var h [20]byte
		if err := fixed(&h, key, value); err != nil {
			return err
		}
		if !seen[h] {
			seen[h] = true
			hashes = append(hashes, h)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(hashes) == 0 {
		return nil, refusal(noFullScrapes)
	}
	return hashes, nil
}
