package mainline

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// near returns an id that shares all but the last bits with a target: nobody honest is as
// near to it.
func near(target [20]byte, i int) (id [20]byte) {
	id = target
	binary.BigEndian.PutUint32(id[16:], binary.BigEndian.Uint32(id[16:])^uint32(i+1))
	return id
}

// liar is a node that answers get by a function, and find_node with nothing.
func liar(w *wire, addr string, id [20]byte, get func(m message, out *body) []byte) *end {
	e := w.listen(addr)
	w.t.Cleanup(func() { e.Close() })
	go e.serve(func(m message, _ netip.AddrPort) [][]byte {
		out := message{transaction: m.transaction, kind: 'r', body: body{sender: id, token: []byte("tk")}}
		if m.method == "get" {
			if raw := get(m, &out.body); raw != nil {
				return [][]byte{raw}
			}
			if out.body.sender == [20]byte{} {
				return nil
			}
		}
		return [][]byte{out.append(nil)}
	})
	return e
}

// TestHostileReplies puts a liar beside an item in a network, nearer to it than anybody. The
// item is found, and nothing else is believed.
func TestHostileReplies(t *testing.T) {
	other := signed(t, "m", 99, "5:other")
	for name, get := range map[string]func(real Item, m message, out *body) []byte{
		"no seq": func(it Item, m message, o *body) []byte {
			o.key, o.sig, o.value = &it.Key, &it.Sig, it.Value
			return nil
		},
		"only the key": func(it Item, m message, o *body) []byte { o.key = &it.Key; return nil },
		"wrong key": func(it Item, m message, o *body) []byte {
			forged, _ := Sign(testKey(9), it.Salt, 99, []byte("6:forged"))
			o.key, o.sig, o.value, o.seq = &forged.Key, &forged.Sig, forged.Value, &forged.Seq
			return nil
		},
		"wrong signature": func(it Item, m message, o *body) []byte {
			o.key, o.sig, o.value, o.seq = &it.Key, &it.Sig, []byte("6:forged"), new(int64(99))
			return nil
		},
		"of another salt": func(it Item, m message, o *body) []byte {
			forged, _ := Sign(testKey(1), []byte("other"), 99, other.Value)
			o.key, o.sig, o.value, o.seq = &forged.Key, &forged.Sig, forged.Value, &forged.Seq
			return nil
		},
		"old seq": func(it Item, m message, o *body) []byte {
			old, _ := Sign(testKey(1), it.Salt, 1, []byte("3:old"))
			o.key, o.sig, o.value, o.seq = &old.Key, &old.Sig, old.Value, &old.Seq
			return nil
		},
		"huge value": func(it Item, m message, o *body) []byte {
			v := "40000:" + strings.Repeat("v", 40000)
			return fmt.Appendf(nil, "d1:rd2:id20:%s3:seqi99e1:v%se1:t%d:%s1:y1:re", id20, v, len(m.transaction), m.transaction)
		},
		"value above 1000": func(it Item, m message, o *body) []byte {
			v := "1100:" + strings.Repeat("v", 1100)
			return fmt.Appendf(nil, "d1:rd2:id20:%s3:seqi99e1:v%se1:t%d:%s1:y1:re", id20, v, len(m.transaction), m.transaction)
		},
		"garbage": func(it Item, m message, o *body) []byte { return bytes.Repeat([]byte{0xff, 'd'}, 700) },
		"truncated": func(it Item, m message, o *body) []byte {
			full := message{transaction: m.transaction, kind: 'r', body: putBody(it, nil)}.append(nil)
			return full[:len(full)/2]
		},
		"seq of another kind": func(it Item, m message, o *body) []byte {
			return fmt.Appendf(nil, "d1:rd2:id20:%s3:seq2:99e1:t%d:%s1:y1:re", id20, len(m.transaction), m.transaction)
		},
		"an error": func(it Item, m message, o *body) []byte {
			return message{transaction: m.transaction, kind: 'e', code: 202, text: "no"}.append(nil)
		},
		"our own id": func(it Item, m message, o *body) []byte { o.sender = m.body.sender; return nil },
		"silence":    func(it Item, m message, o *body) []byte { o.sender = [20]byte{}; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *wire) {
				nodes := w.crowd(12, nil)
				w.settle(time.Minute)
				it := signed(t, "m", 5, "5:hello")
				if _, err := nodes[3].Put(t.Context(), it, PutOptions{}); err != nil {
					t.Fatal(err)
				}
				liar(w, "10.66.0.1:1", near(it.Target(), 0), func(m message, o *body) []byte { return get(it, m, o) })
				for _, n := range nodes {
					n.answered(contact{near(it.Target(), 0), netip.MustParseAddrPort("10.66.0.1:1")})
				}
				var seen []int64
				f, err := nodes[7].Get(t.Context(), publicKey(1), []byte("m"), func(it Item) { seen = append(seen, it.Seq) })
				if err != nil || !f.Item.same(it) {
					t.Errorf("found %+v: %v", f.Item, err)
				}
				for _, seq := range seen {
					if seq != 5 && !(name == "old seq" && seq == 1) {
						t.Errorf("seqs %v were believed", seen)
					}
				}
				newer := signed(t, "m", 6, "5:newer")
				if s, err := nodes[4].Put(t.Context(), newer, PutOptions{}); err != nil || s.Nodes < 4 {
					t.Errorf("put beside it on %d nodes: %v", s.Nodes, err)
				}
			})
		})
	}
}

// TestFlood has liars that name ever nearer nodes, all of which answer, or none. Walks end
// soon, ask a bounded number, and arrive.
func TestFlood(t *testing.T) {
	for _, answer := range []bool{true, false} {
		t.Run(fmt.Sprint("answer ", answer), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *wire) {
				nodes := w.crowd(30, nil)
				w.settle(time.Minute)
				it := signed(t, "m", 5, "5:hello")
				if _, err := nodes[3].Put(t.Context(), it, PutOptions{}); err != nil {
					t.Fatal(err)
				}
				asked, next := 0, 1
				target := it.Target()
				mu := make(chan struct{}, 1)
				var lie func(i int) string
				lie = func(i int) string {
					addr := fmt.Sprintf("10.66.%d.%d:6881", i/250, i%250+1)
					if i > 0 && !answer {
						return addr
					}
					liar(w, addr, near(target, 1<<20-i), func(m message, o *body) []byte {
						mu <- struct{}{}
						defer func() { <-mu }()
						asked++
						for range maxNodes {
							o.nodes = append(o.nodes, contact{near(target, 1<<20-next), netip.MustParseAddrPort(lie(next))})
							next++
						}
						return nil
					})
					return addr
				}
				first := netip.MustParseAddrPort(lie(0))
				for _, n := range nodes {
					n.answered(contact{near(target, 1<<20), first})
				}
				n := nodes[7]
				before, begin := n.Queries(), time.Now()
				f, err := n.Get(t.Context(), publicKey(1), []byte("m"), nil)
				if err != nil || !f.Item.same(it) {
					t.Errorf("found %+v: %v", f, err)
				}
				if got := n.Queries() - before; got > paths*pathAsked {
					t.Errorf("%d nodes were asked", got)
				}
				if d := time.Since(begin); d > 15*time.Second {
					t.Errorf("it took %s", d)
				}
				if answer && asked > pathAsked {
					t.Errorf("liars were asked %d times, more than one way may", asked)
				}
				newer := signed(t, "m", 6, "5:newer")
				if _, err := n.Put(t.Context(), newer, PutOptions{}); err != nil {
					t.Error(err)
				}
				if f, err := nodes[20].Get(t.Context(), publicKey(1), []byte("m"), nil); err != nil || f.Item.Seq != 6 {
					t.Errorf("what was put beside liars: %+v, %v", f.Item, err)
				}
			})
		})
	}
}

// TestKillers sends a node what kills the library, and what else is wrong, as questions and
// as answers. It goes on.
func TestKillers(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		nodes := w.crowd(3, nil)
		w.settle(10 * time.Second)
		e := w.listen("10.66.0.1:1")
		defer e.Close()
		for _, p := range killers {
			e.WriteTo([]byte(p), nodes[1].cfg.Conn.LocalAddr())
		}
		for i := range 5000 { // names of methods that the library would count one by one
			e.WriteTo(fmt.Appendf(nil, "d1:ad2:id20:%se1:q6:%06d1:t2:aa1:y1:qe", id20, i), nodes[1].cfg.Conn.LocalAddr())
		}
		go e.serve(func(m message, _ netip.AddrPort) [][]byte { // it is met, and asked
			var out [][]byte
			for _, p := range killers {
				out = append(out, []byte(strings.Replace(p, "1:t2:aa", fmt.Sprintf("1:t%d:%s", len(m.transaction), m.transaction), 1)))
			}
			return out
		})
		e.WriteTo([]byte(packets[0]), nodes[1].cfg.Conn.LocalAddr())
		w.settle(5 * time.Second)
		liar(w, "10.66.0.2:1", near([20]byte{}, 1), func(message, *body) []byte { return nil })
		if _, err := nodes[0].Put(t.Context(), signed(t, "m", 1, "le"), PutOptions{}); err != nil {
			t.Error(err)
		}
		if _, err := nodes[1].Get(t.Context(), publicKey(1), []byte("m"), nil); err != nil {
			t.Error(err)
		}
	})
}

// TestAnswersAreBounded asks a node more than it answers.
func TestAnswersAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n := w.start("10.0.0.1:6881", nil)
		e := w.listen("10.66.0.1:1")
		defer e.Close()
		for range 300 {
			e.WriteTo([]byte(packets[3]), n.cfg.Conn.LocalAddr())
			time.Sleep(time.Millisecond)
		}
		w.settle(time.Second)
		if got := w.packets("10.0.0.1:6881"); got < answersPerSecondAndHost || got > 2*answersPerSecondAndHost+2 {
			t.Errorf("%d packets were sent for 300", got)
		}
	})
}

// TestTokens puts and announces without a token, and with somebody else's.
func TestTokens(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n := w.start("10.0.0.1:6881", nil)
		e := w.listen("10.66.0.1:1")
		defer e.Close()
		it := signed(t, "m", 1, "le")
		ask := func(method string, token []byte) message {
			o := putBody(it, nil)
			o.target, o.port, o.token = new([20]byte), 7, token
			e.WriteTo(message{transaction: []byte("x"), kind: 'q', method: method, body: o}.append(nil), n.cfg.Conn.LocalAddr())
			var b [maxPacket]byte
			for {
				k, _, err := e.ReadFrom(b[:])
				if err != nil {
					t.Fatal(err)
				}
				if m, err := parseMessage(b[:k]); err == nil && m.kind != 'q' {
					return m
				}
			}
		}
		token := ask("get", nil).body.token
		theirs := n.token(netip.MustParseAddr("10.66.0.2"), n.now())
		for _, method := range []string{"put", "announce_peer"} {
			for _, bad := range [][]byte{nil, []byte("guess"), theirs, token[:7]} {
				if m := ask(method, bad); m.code != errorProtocol {
					t.Errorf("%s with token %q: %+v", method, bad, m)
				}
			}
			if m := ask(method, token); m.kind != 'r' {
				t.Errorf("%s with our token: %+v", method, m)
			}
		}
		if m := ask("vote", nil); m.code != errorUnknown {
			t.Errorf("another method: %+v", m)
		}
		time.Sleep(3 * tokenLife)
		if m := ask("put", token); m.code != errorProtocol {
			t.Errorf("an old token: %+v", m)
		}
	})
}
