package mainline

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"

	"handful/manifest/bencode"
)

// Bounds of a packet, whoever sent it.
const (
	maxPacket      = 4 << 10 // bytes; a get with a full value and 16 nodes takes 1.9 KiB
	maxTransaction = 32      // bytes of t
	maxMethod      = 32      // bytes of q
	maxToken       = 128     // bytes
	maxErrorText   = 200     // bytes of an error's text that are kept
	maxNodes       = 8       // of each family in one packet; BEP 5 sends 8
	maxValues      = 100     // peers in one packet
)

// ErrMalformed is wrapped by every error about a packet, an item or a file that does
// not have its documented form.
var ErrMalformed = errors.New("malformed")

// message is a packet of BEP 5, as far as it is understood: what else it has is left
// out when it is printed.
type message struct {
	transaction []byte // t
	kind        byte   // y: 'q', 'r' or 'e'
	method      string // q, of a query
	readOnly    bool   // ro, of a query (BEP 43): the sender answers nobody
	body        body   // a or r
	code        int64  // of an error
	text        string // of an error
}

// body has the arguments of a query, or what a reply returns.
type body struct {
	sender   [20]byte  // id
	target   *[20]byte // target or info_hash
	token    []byte
	port     uint16 // of announce_peer; 0: not said
	implied  bool   // the port is that of the packet
	want     want
	values   []netip.AddrPort // peers
	nodes    []contact        // at most maxNodes of each family, IPv4 first
	key      *[32]byte        // k
	salt     []byte
	seq, cas *int64
	sig      *[64]byte
	value    []byte // v, as it was encoded; nil: none
}

// want says which families somebody wants to hear of (BEP 32); both false: not said.
type want struct{ v4, v6 bool }

// contact is a node: its id and where it is reached.
type contact struct {
	id   [20]byte
	addr netip.AddrPort // never IPv4-mapped, never with a zone
}

// closer compares the distances of two ids to a target: negative when a is nearer.
func closer(target, a, b [20]byte) int {
	for i := range target {
		if c := cmp.Compare(a[i]^target[i], b[i]^target[i]); c != 0 {
			return c
		}
	}
	return 0
}

// canonical returns the form under which an address is kept. What cannot be the
// address of one node is refused.
func canonical(ap netip.AddrPort) (netip.AddrPort, bool) {
	a := ap.Addr().Unmap()
	ok := a.IsValid() && ap.Port() != 0 && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && !(a.Is4() && a.As4()[0] == 0)
	return netip.AddrPortFrom(a, ap.Port()), ok
}

// inner reports whether addr means a place that strangers outside cannot name.
func inner(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
}

// parseMessage reads a packet. Nothing in the result aliases b. What it accepts, it
// finds again in what append prints.
func parseMessage(b []byte) (message, error) {
	if len(b) > maxPacket {
		return message{}, fmt.Errorf("%w packet: %d bytes, at most %d", ErrMalformed, len(b), maxPacket)
	}
	var m message
	var has [2]bool // a, r
	r := bencode.NewReader(b)
	r.Dict(func(key string) {
		switch key {
		case "a", "r":
			has[map[string]int{"a": 0, "r": 1}[key]] = true
			if has[0] && has[1] {
				r.Fail(errors.New("arguments and a reply"))
			}
			m.body.parse(r)
		case "e":
			m.parseError(r)
		case "q":
			m.method = bounded(r, maxMethod)
		case "ro":
			m.readOnly = r.Int() == 1
		case "t":
			m.transaction = []byte(bounded(r, maxTransaction))
		case "y":
			if y := r.Bytes(); len(y) == 1 {
				m.kind = y[0]
			}
		default:
			r.Skip()
		}
	})
	if err := r.End(); err != nil {
		return message{}, fmt.Errorf("%w packet: %w", ErrMalformed, err)
	}
	isQuery, isReply, isError := m.kind == 'q', m.kind == 'r', m.kind == 'e'
	switch {
	case len(m.transaction) == 0:
		return message{}, fmt.Errorf("%w packet: no transaction", ErrMalformed)
	case !isQuery && !isReply && !isError,
		isQuery != (m.method != ""), isQuery != has[0], isReply != has[1], !isError && m.code != 0, isError && m.code == 0,
		m.readOnly && !isQuery:
		return message{}, fmt.Errorf("%w packet: kind %q does not go with what it has", ErrMalformed, m.kind)
	}
	return m, nil
}

// bounded reads a string of at most limit bytes.
func bounded(r *bencode.Reader, limit int) string {
	s := r.Bytes()
	if len(s) > limit {
		r.Fail(fmt.Errorf("a string of %d bytes, at most %d", len(s), limit))
		return ""
	}
	return string(s)
}

func (m *message) parseError(r *bencode.Reader) {
	i := 0
	r.List(func() {
		switch i++; {
		case i == 1 && r.Kind() == 'i':
			m.code = r.Int()
		case i == 2 && r.Kind() == 's':
			s := r.Bytes()
			m.text = string(s[:min(len(s), maxErrorText)])
		default:
			r.Skip()
		}
	})
}

func (o *body) parse(r *bencode.Reader) {
	identified := false
	r.Dict(func(key string) {
		switch key {
		case "id":
			r.Fixed(o.sender[:])
			identified = true
		case "info_hash", "target":
			if o.target != nil {
				r.Fail(errors.New("two targets"))
				return
			}
			o.target = new([20]byte)
			r.Fixed(o.target[:])
		case "token":
			if o.token = []byte(bounded(r, maxToken)); len(o.token) == 0 {
				o.token = nil
			}
		case "port":
			if p := r.Int(); p > 0 && p < 1<<16 {
				o.port = uint16(p)
			}
		case "implied_port":
			o.implied = r.Int() == 1
		case "want":
			r.List(func() {
				switch bounded(r, 16) {
				case "n4":
					o.want.v4 = true
				case "n6":
					o.want.v6 = true
				}
			})
		case "values":
			o.parseValues(r)
		case "nodes":
			o.nodes = append(o.nodes, parseNodes(r, 4)...)
		case "nodes6":
			o.nodes = append(o.nodes, parseNodes(r, 16)...)
		default:
			o.parseItem(r, key)
		}
	})
	if r.Err() == nil && !identified {
		r.Fail(errors.New("no id of the sender"))
	}
}

// parseItem reads the keys of BEP 44.
func (o *body) parseItem(r *bencode.Reader, key string) {
	switch key {
	case "cas":
		o.cas = number(r)
	case "k":
		o.key = new([32]byte)
		r.Fixed(o.key[:])
	case "salt":
		if o.salt = []byte(bounded(r, maxSalt)); len(o.salt) == 0 {
			o.salt = nil
		}
	case "seq":
		o.seq = number(r)
	case "sig":
		o.sig = new([64]byte)
		r.Fixed(o.sig[:])
	case "v":
		if o.value = bytes.Clone(r.Skip()); len(o.value) > MaxValue {
			r.Fail(fmt.Errorf("a value of %d bytes, at most %d", len(o.value), MaxValue))
		}
	default:
		r.Skip()
	}
}

func number(r *bencode.Reader) *int64 {
	n := r.Int()
	return &n
}

// parseValues reads a list of peers, 6 or 18 bytes each; unusable ones are left out.
func (o *body) parseValues(r *bencode.Reader) {
	r.List(func() {
		b := r.Bytes()
		if r.Err() == nil && len(b) != 6 && len(b) != 18 {
			r.Fail(fmt.Errorf("a peer of %d bytes", len(b)))
			return
		}
		if ap, ok := compactAddr(b); ok && len(o.values) < maxValues {
			o.values = append(o.values, ap)
		}
	})
}

// compactAddr reads an address and a port.
func compactAddr(b []byte) (netip.AddrPort, bool) {
	if len(b) < 2 {
		return netip.AddrPort{}, false
	}
	end := len(b) - 2
	a, ok := netip.AddrFromSlice(b[:end])
	if !ok || a.Is4In6() {
		return netip.AddrPort{}, false
	}
	return canonical(netip.AddrPortFrom(a, uint16(b[end])<<8|uint16(b[end+1])))
}

// parseNodes reads compact nodes with addresses of size bytes. The first maxNodes that
// are usable are returned.
func parseNodes(r *bencode.Reader, size int) (out []contact) {
	b := r.Bytes()
	each := 20 + size + 2
	if len(b)%each != 0 {
		r.Fail(fmt.Errorf("%d bytes of nodes, each has %d", len(b), each))
		return nil
	}
	for ; len(b) > 0 && len(out) < maxNodes; b = b[each:] {
		if ap, ok := compactAddr(b[20:each]); ok {
			out = append(out, contact{[20]byte(b[:20]), ap})
		}
	}
	return out
}

func appendAddr(b []byte, ap netip.AddrPort) []byte {
	b = append(b, ap.Addr().AsSlice()...)
	return append(b, byte(ap.Port()>>8), byte(ap.Port()))
}

// compactNodes prints those of a family.
func compactNodes(nodes []contact, v4 bool) (b []byte) {
	for _, c := range nodes {
		if c.addr.Addr().Is4() == v4 {
			b = appendAddr(append(b, c.id[:]...), c.addr)
		}
	}
	return b
}

// append prints the message.
func (m message) append(b []byte) []byte {
	b = append(b, 'd')
	switch m.kind {
	case 'q':
		b = m.body.append(bencode.AppendString(b, "a"), m.method)
	case 'e':
		b = append(bencode.AppendString(b, "e"), 'l')
		b = bencode.AppendString(bencode.AppendInt(b, m.code), m.text)
		b = append(b, 'e')
	}
	if m.kind == 'q' {
		b = bencode.AppendString(bencode.AppendString(b, "q"), m.method)
	}
	if m.kind == 'r' {
		b = m.body.append(bencode.AppendString(b, "r"), "")
	}
	if m.readOnly {
		b = bencode.AppendInt(bencode.AppendString(b, "ro"), 1)
	}
	b = bencode.AppendString(bencode.AppendString(b, "t"), m.transaction)
	b = bencode.AppendString(bencode.AppendString(b, "y"), []byte{m.kind})
	return append(b, 'e')
}

// append prints the body; the name of the target depends on the method.
func (o body) append(b []byte, method string) []byte {
	str := func(key string, s []byte) {
		if len(s) > 0 {
			b = bencode.AppendString(bencode.AppendString(b, key), s)
		}
	}
	num := func(key string, n *int64) {
		if n != nil {
			b = bencode.AppendInt(bencode.AppendString(b, key), *n)
		}
	}
	aboutPeers := method == "get_peers" || method == "announce_peer"
	b = append(b, 'd')
	num("cas", o.cas)
	str("id", o.sender[:])
	if o.implied {
		num("implied_port", new(int64(1)))
	}
	if o.target != nil && aboutPeers {
		str("info_hash", o.target[:])
	}
	if o.key != nil {
		str("k", o.key[:])
	}
	str("nodes", compactNodes(o.nodes, true))
	str("nodes6", compactNodes(o.nodes, false))
	if o.port != 0 {
		num("port", new(int64(o.port)))
	}
	str("salt", o.salt)
	num("seq", o.seq)
	if o.sig != nil {
		str("sig", o.sig[:])
	}
	if o.target != nil && !aboutPeers {
		str("target", o.target[:])
	}
	str("token", o.token)
	if len(o.value) > 0 {
		b = append(bencode.AppendString(b, "v"), o.value...)
	}
	if len(o.values) > 0 {
		b = append(bencode.AppendString(b, "values"), 'l')
		for _, ap := range o.values {
			b = bencode.AppendString(b, appendAddr(nil, ap))
		}
		b = append(b, 'e')
	}
	if o.want.v4 || o.want.v6 {
		b = append(bencode.AppendString(b, "want"), 'l')
		if o.want.v4 {
			b = bencode.AppendString(b, "n4")
		}
		if o.want.v6 {
			b = bencode.AppendString(b, "n6")
		}
		b = append(b, 'e')
	}
	return append(b, 'e')
}
