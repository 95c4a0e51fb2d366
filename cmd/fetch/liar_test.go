package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"handful/manifest/bencode"
	"handful/signing"
	"handful/swarm/discover/mainline"
)

// dhtLiar is a node of a DHT beside an item, which answers what it is asked with one lie after the other.
type dhtLiar struct {
	conn   net.PacketConn
	id     [20]byte // nearer to the item than anybody's
	target [20]byte
	told   func(what string) // each lie, and "put" for each item that it is given
	old    []any             // the first item that it was given, as members of a reply
	giver  string            // the host that gave it
	count  int
}

func newDHTLiar(conn net.PacketConn, target [20]byte, told func(string)) *dhtLiar {
	l := &dhtLiar{conn: conn, id: target, target: target, told: told}
	l.id[19] ^= 1
	return l
}

// LiarAt lets a liar loose on a socket until that is closed, and counts its lies.
func LiarAt(conn net.PacketConn, bootstrap string, target [20]byte) *atomic.Int64 {
	var lies atomic.Int64
	go newDHTLiar(conn, target, func(string) { lies.Add(1) }).lie(bootstrap)
	return &lies
}

// lie joins the DHT and goes on until its socket is closed.
func (l *dhtLiar) lie(bootstrap string) error {
	to, err := net.ResolveUDPAddr("udp", bootstrap)
	if err != nil {
		return err
	}
	if _, err := l.conn.WriteTo(dict("a", dict("id", string(l.id[:])), "q", "ping", "t", "hi", "y", "q"), to); err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for {
		n, from, err := l.conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		host, _, err := net.SplitHostPort(from.String())
		if err != nil {
			return err
		}
		if answer := l.answer(host, slices.Clone(buf[:n])); answer != nil {
			l.conn.WriteTo(answer, from)
		}
	}
}

// answer returns what is said to a packet from a host, nil for nothing. Until it is given an item it behaves, since it
// has nothing old to replay, and whoever gave that is told nothing else again, so that it gives more.
func (l *dhtLiar) answer(host string, packet []byte) []byte {
	var tid, kind, question string
	given := map[string][]byte{}
	r := bencode.NewReader(packet)
	r.Dict(func(k string) {
		switch k {
		case "t":
			tid = r.String()
		case "y":
			kind = r.String()
		case "q":
			question = r.String()
		case "a":
			r.Dict(func(k string) { given[k] = r.Skip() })
		default:
			r.Skip()
		}
	})
	switch {
	case r.End() != nil || kind != "q":
		return nil
	case question == "put":
		if key, salt := text(given["k"]), text(given["salt"]); len(key) == 32 && mainline.Target([32]byte([]byte(key)), []byte(salt)) == l.target {
			if l.old == nil {
				l.giver = host
				l.old = []any{"k", given["k"], "seq", given["seq"], "sig", given["sig"], "token", "t", "v", given["v"]}
			}
			l.told("put " + string(given["seq"]))
		}
		fallthrough
	case question == "ping":
		return reply(tid, dict("id", string(l.id[:])))
	}
	if l.old == nil {
		return reply(tid, dict("id", string(l.id[:]), "nodes", "", "token", "t"))
	}
	all := l.lies()
	next := all[l.count%len(all)]
	if host == l.giver {
		next = all[oldSeq]
	} else {
		l.count++
	}
	l.told(next.what)
	return next.answer(tid)
}

type oneLie struct {
	what   string
	answer func(tid string) []byte
}

// lies are what it answers in turn, once it has an item.
func (l *dhtLiar) lies() []oneLie {
	id := string(l.id[:])
	says := func(what string, members ...any) oneLie {
		return oneLie{what, func(tid string) []byte { return reply(tid, dict(append([]any{"id", id}, members...)...)) }}
	}
	key, sig := strings.Repeat("k", 32), strings.Repeat("s", 64)
	_, own, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	var nearer []byte
	for i := range 3 {
		nearer = append(append(append(nearer, l.target[:19]...), byte(i)), 127, 0, 0, byte(70+i), 1, byte(i+1))
	}
	const later = math.MaxInt64 / 2
	signed := ed25519.Sign(own, mainline.SignedBytes([]byte(signing.MainWriter), later, []byte("1:x")))
	forged := slices.Clone(l.old)
	forged[3] = integer(later)
	return []oneLie{
		oldSeq: says("old seq", l.old...),
		says("seq that is not signed", forged...),
		says("no seq", "k", key, "sig", sig, "token", "t", "v", "x"),
		says("wrong key", "k", string(own.Public().(ed25519.PublicKey)), "seq", integer(later), "sig", string(signed), "token", "t", "v", "x"),
		says("endless nearer nodes", "nodes", string(nearer), "token", "t"),
		says("huge value", "k", key, "seq", integer(1), "sig", sig, "token", "t", "v", strings.Repeat("v", 40000)),
		{"garbage", func(string) []byte { return bytes.Repeat([]byte{'d', 0xff}, 500) }},
		{"an error", func(tid string) []byte { return dict("e", []byte("li201e2:noe"), "t", tid, "y", "e") }},
	}
}

// oldSeq is where among the lies the replay of an old item stands.
const oldSeq = 0

func reply(tid string, members []byte) []byte { return dict("r", members, "t", tid, "y", "r") }

func integer(n int64) []byte { return []byte("i" + strconv.FormatInt(n, 10) + "e") }

// text is an encoded string, or the empty one.
func text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return bencode.NewReader(b).String()
}

// dict prints a dictionary of strings, and of values that are bencoded already.
func dict(kv ...any) []byte {
	b := []byte{'d'}
	for i := 0; i < len(kv); i += 2 {
		b = bencode.AppendString(b, kv[i].(string))
		switch v := kv[i+1].(type) {
		case []byte:
			b = append(b, v...)
		case string:
			b = bencode.AppendString(b, v)
		}
	}
	return append(b, 'e')
}

// hostileDHT is the liar as a program: LISTEN BOOTSTRAP TARGET. It prints what it does as lines of JSON.
func hostileDHT() {
	told := func(what string) {
		json.NewEncoder(os.Stdout).Encode(map[string]string{"type": "lie", "message": what})
	}
	target, err := hex.DecodeString(os.Args[3])
	if err == nil {
		var conn net.PacketConn
		if conn, err = net.ListenPacket("udp", os.Args[1]); err == nil {
			err = newDHTLiar(conn, [20]byte(target), told).lie(os.Args[2])
		}
	}
	fmt.Fprintln(os.Stderr, "hostile-dht:", err)
	os.Exit(1)
}
