package mainline

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

const id20 = "abcdefghij0123456789"

var packets = []string{
	// Those of BEP 5.
	"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
	"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re",
	"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
	"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
	"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
	"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
	"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee",
	// BEP 32, 43, 44.
	"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n42:n6ee1:q3:get2:roi1e1:t2:aa1:y1:qe",
	"d1:rd2:id20:abcdefghij01234567891:k32:" + strings.Repeat("k", 32) + "5:nodes26:" + strings.Repeat("n", 26) +
		"6:nodes638:" + strings.Repeat("n", 38) + "3:seqi-4e3:sig64:" + strings.Repeat("s", 64) + "5:token1:t1:vd1:ali1eeee1:t2:aa1:y1:re",
	"d1:ad3:casi1e2:id20:abcdefghij01234567891:k32:" + strings.Repeat("k", 32) + "4:salt1:m3:seqi4e3:sig64:" + strings.Repeat("s", 64) +
		"5:token1:t1:v1:xe1:q3:put1:t2:aa1:y1:qe",
}

func TestMessages(t *testing.T) {
	for _, p := range packets {
		m, err := parseMessage([]byte(p))
		if err != nil {
			t.Errorf("%q: %v", p, err)
			continue
		}
		if got := string(m.append(nil)); got != p {
			t.Errorf("%q\ncame back as\n%q", p, got)
		}
	}
}

// killers are packets on which the library itself ends the process or fills memory and
// logs; the rest are wrong in other ways.
var killers = []string{
	"d1:q13:announce_peer1:t2:aa1:y1:qe",
	"d1:q3:put1:t2:aa1:y1:qe",
	"d1:ade1:q3:put1:t2:aa1:y1:qe",
	"d2:ip0:1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re",
	"d1:rd2:id20:abcdefghij01234567896:valuesl0:1:xee1:t2:aa1:y1:re",
	"d1:rd2:id20:abcdefghij01234567895:nodes3:abce1:t2:aa1:y1:re",
	"d1:rd2:id1:ae1:t2:aa1:y1:re",
	"d1:rd2:id20:abcdefghij01234567895:tokeni1ee1:t2:aa1:y1:re",
	"d1:rd2:id20:abcdefghij01234567893:seq1:xe1:t2:aa1:y1:re",
	"d1:rd2:id20:abcdefghij01234567891:k1:xe1:t2:aa1:y1:re",
	"d1:ele1:t2:aa1:y1:ee", "d1:e1:x1:t2:aa1:y1:ee", "d1:eli201ei3ee1:t2:aa1:y1:re",
	"d1:t2:aa1:y1:re", "d1:t2:aa1:y1:qe", "d1:t0:1:y1:qe", "d1:y1:qe", "d1:t2:aa1:y1:ze", "d1:t2:aa1:yi1ee",
	"d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re trailing", "d", "", "de", "i1e", "le", "hello", "d1:",
	"d1:ad2:id20:abcdefghij0123456789e1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re",
	"d1:rd2:id20:abcdefghij01234567891:v1001:" + strings.Repeat("v", 1001) + "e1:t2:aa1:y1:re",
	"d1:q" + fmt.Sprint(maxMethod+1) + ":" + strings.Repeat("q", maxMethod+1) + "1:t2:aa1:y1:qe",
	strings.Repeat("l", 2000) + strings.Repeat("e", 2000),
	"d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re" + strings.Repeat(" ", maxPacket),
}

func TestMalformedMessages(t *testing.T) {
	for _, p := range killers {
		m, err := parseMessage([]byte(p))
		if p == killers[3] { // only what the library would not survive is left out of it
			if err != nil || strings.Contains(string(m.append(nil)), "ip") {
				t.Errorf("%q: %v", p, err)
			}
		} else if err == nil {
			t.Errorf("%.200q was accepted as %+v", p, m)
		}
	}
}

func TestNodeLists(t *testing.T) {
	var list []byte
	for i := range 40 {
		list = append(append(list, id20[1:]...), byte(i))
		list = appendAddr(list, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 7))
	}
	bad := func(a, b, c, d byte, port uint16) string {
		return id20 + string(appendAddr(nil, netip.AddrPortFrom(netip.AddrFrom4([4]byte{a, b, c, d}), port)))
	}
	for _, tt := range []struct {
		nodes string
		want  int
	}{
		{string(list), maxNodes}, {"", 0},
		{bad(0, 0, 0, 0, 1) + bad(0, 1, 2, 3, 1) + bad(224, 0, 0, 1, 1) + bad(255, 255, 255, 255, 1) + bad(10, 0, 0, 1, 0), 0},
	} {
		m, err := parseMessage(fmt.Appendf(nil, "d1:rd2:id20:%s5:nodes%d:%se1:t2:aa1:y1:re", id20, len(tt.nodes), tt.nodes))
		if err != nil || len(m.body.nodes) != tt.want {
			t.Errorf("%d nodes, want %d: %v", len(m.body.nodes), tt.want, err)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, p := range packets {
		f.Add([]byte(p))
	}
	for _, p := range killers {
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err != nil {
			return
		}
		printed := m.append(nil)
		again, err := parseMessage(printed)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%q parsed as\n%+v, which prints as\n%q and then is\n%+v: %v", b, m, printed, again, err)
		}
		if len(printed) > len(b) || !bytes.Equal(again.append(nil), printed) {
			t.Fatalf("%q was printed as %q", b, printed)
		}
	})
}
