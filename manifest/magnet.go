package manifest

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Magnet is a magnet link (BEP 9, 53): what names a torrent without its info
// dict. Everything but the infohashes is advice.
type Magnet struct {
	InfoHash   [20]byte // v1
	HasV1      bool
	InfoHashV2 [32]byte
	HasV2      bool
	Name       string   // dn
	Trackers   []string // tr
	WebSeeds   []string // ws
	Peers      []string // x.pe, host:port
}

// maxMagnet is how many bytes a magnet link may have.
const maxMagnet = 64 << 10

// ErrMagnet is wrapped by every error of ParseMagnet.
var ErrMagnet = errors.New("bad magnet link")

// Magnet returns the magnet link of t with trackers and peers beside it.
func (t *Torrent) Magnet(trackers, peers []string) string {
	m := Magnet{Name: t.Name, Trackers: trackers, WebSeeds: t.WebSeeds, Peers: peers}
	m.InfoHash, m.HasV1 = t.InfoHashV1()
	m.InfoHashV2, m.HasV2 = t.InfoHashV2()
	return m.String()
}

// String returns the link; ParseMagnet reads it back.
func (m Magnet) String() string {
	var b strings.Builder
	sep := byte('?')
	add := func(key, value string) {
		b.WriteByte(sep)
		b.WriteString(key + "=" + value)
		sep = '&'
	}
	b.WriteString("magnet:")
	if m.HasV1 {
		add("xt", "urn:btih:"+hex.EncodeToString(m.InfoHash[:]))
	}
	if m.HasV2 {
		add("xt", "urn:btmh:1220"+hex.EncodeToString(m.InfoHashV2[:]))
	}
	if m.Name != "" {
		add("dn", escape(m.Name))
	}
	for _, list := range []struct {
		key    string
		values []string
	}{{"tr", m.Trackers}, {"ws", m.WebSeeds}, {"x.pe", m.Peers}} {
		for _, value := range list.values {
			add(list.key, escape(value))
		}
	}
	return b.String()
}

// escape encodes a value so that every client reads it: blanks as %20, not +.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// WireHash returns what names the torrent on the wire: see Torrent.InfoHash.
func (m Magnet) WireHash() [20]byte {
	if m.HasV1 {
		return m.InfoHash
	}
	return [20]byte(m.InfoHashV2[:20])
}

// ParseMagnet reads a magnet link with a v1 infohash (hexadecimal or base32), a
// v2 one or both. Parameters that are not known are passed over, as are more than
// 256 values of one kind. Errors wrap ErrMagnet and say what is wrong with what.
func ParseMagnet(s string) (Magnet, error) {
	var m Magnet
	if len(s) > maxMagnet {
		return m, fmt.Errorf("%w: %d bytes, more than %d", ErrMagnet, len(s), maxMagnet)
	}
	const scheme = "magnet:?"
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return m, fmt.Errorf("%w: %.40q does not begin with %s", ErrMagnet, s, scheme)
	}
	for param := range strings.SplitSeq(s[len(scheme):], "&") {
		key, value, _ := strings.Cut(param, "=")
		key = strings.ToLower(key)
		// Numbered forms (tr.1=…) name the same.
		if base, n, ok := strings.Cut(key, "."); ok && n != "" && strings.Trim(n, "0123456789") == "" {
			key = base
		}
		text, err := url.QueryUnescape(value)
		if err != nil {
			return Magnet{}, fmt.Errorf("%w: %s: %v", ErrMagnet, key, err)
		}
		switch key {
		case "xt":
			err = m.topic(text)
		case "dn":
			m.Name = text
		case "tr":
			addSource(&m.Trackers, text)
		case "ws":
			addSource(&m.WebSeeds, text)
		case "x.pe":
			addSource(&m.Peers, text)
		}
		if err != nil {
			return Magnet{}, err
		}
	}
	if !m.HasV1 && !m.HasV2 {
		return Magnet{}, fmt.Errorf("%w: it names no torrent: neither xt=urn:btih: nor xt=urn:btmh: is in it", ErrMagnet)
	}
	return m, nil
}

// addSource adds s unless it is empty, known or one too many.
func addSource(list *[]string, s string) {
	if s != "" && !slices.Contains(*list, s) && len(*list) < maxSources {
		*list = append(*list, s)
	}
}

// topic reads one xt. Topics of other networks are passed over.
func (m *Magnet) topic(urn string) error {
	lower := strings.ToLower(urn)
	switch {
	case strings.HasPrefix(lower, "urn:btih:"):
		sum, err := decodeV1(urn[len("urn:btih:"):])
		if err != nil {
			return err
		}
		if m.HasV1 && m.InfoHash != sum {
			return fmt.Errorf("%w: it names two v1 torrents", ErrMagnet)
		}
		m.InfoHash, m.HasV1 = sum, true
	case strings.HasPrefix(lower, "urn:btmh:"):
		text := lower[len("urn:btmh:"):]
		if !strings.HasPrefix(text, "1220") {
			return fmt.Errorf("%w: urn:btmh:%.8s… is no SHA-256 multihash, which begins with 1220", ErrMagnet, text)
		}
		sum, err := hex.DecodeString(text[4:])
		if err != nil || len(sum) != 32 {
			return fmt.Errorf("%w: the v2 infohash %q must have 64 hexadecimal digits", ErrMagnet, text[4:])
		}
		if m.HasV2 && m.InfoHashV2 != hash256(sum) {
			return fmt.Errorf("%w: it names two v2 torrents", ErrMagnet)
		}
		m.InfoHashV2, m.HasV2 = hash256(sum), true
	}
	return nil
}

func decodeV1(text string) (sum [20]byte, err error) {
	var b []byte
	switch len(text) {
	case 40:
		b, err = hex.DecodeString(text)
	case 32:
		b, err = base32.StdEncoding.DecodeString(strings.ToUpper(text))
	default:
		return sum, fmt.Errorf("%w: the v1 infohash %q has %d characters, not 40 hexadecimal or 32 base32 ones", ErrMagnet, text, len(text))
	}
	if err != nil {
		return sum, fmt.Errorf("%w: the v1 infohash %q: %v", ErrMagnet, text, err)
	}
	return [20]byte(b), nil
}
