package main_test

import (
	"encoding/json"
	"net/http"
	"testing"
)

// looked runs a command that looks, and returns its lines.
func (s *side) looked(name string, args ...string) []line {
	s.t.Helper()
	p := s.start(name, args...)
	if code := p.wait(); code != 0 {
		s.t.Fatalf("%s %v ended with %d\n%s", name, args, code, p.tail())
	}
	return p.lines
}

// only returns the lines of one type.
func only(kind string, lines []line) (out []line) {
	for _, l := range lines {
		if l.Type == kind {
			out = append(out, l)
		}
	}
	return out
}

// testExplain: two fetch what one publishes. Each byte that they received is explained piece by piece, and the origin
// tells whom it granted what.
func testExplain(t *testing.T, l *lab) {
	first, second, third := l.local(t), l.local(t), l.local(t)
	path := writeFile(t, first.path("film.bin"), 12<<20)
	origin, published := first.publish(path)
	addr := origin.await("listening", is("listening")).Addr

	one := second.start("fetch", published.Link, "-o", second.path("out"), "--seed-for", "1h")
	near := one.await("listening", is("listening")).Addr
	two := third.start("fetch", published.Link, "-o", third.path("out"), "--seed-for", "1h", "--peer", near)
	for _, f := range []struct {
		*side
		*process
	}{{second, one}, {third, two}} {
		done := f.await("done", is("done"))
		done.adds(t)
		for _, word := range []string{published.Link, published.Infohash, f.side.path("out", "film.bin"), "out/film.bin"} {
			explained(t, done, f.looked("fetch", "explain", word))
		}
		items := only("item", f.looked("fetch", "status"))
		if len(items) != 1 || !sameReceived(items[0], done) {
			t.Errorf("status says %+v, done said %+v", items, done)
		}
		f.side.start("fetch", "explain", "out").fails(10, "has nothing that out names", "fetch status")
	}
	shared(t, published, first.looked("seed", "status"))
	statusPage(t, addr, published.Infohash)
	one.stop()
	second.start("fetch", "explain", published.Link).fails(10, "no node runs", "--seed-for")
}

// explained checks that there is an answer for every piece, and that their sums are what done says.
func explained(t *testing.T, done line, lines []line) {
	t.Helper()
	head, pieces := only("explained", lines), only("piece", lines)
	if len(head) != 1 || head[0].Pieces == 0 || len(pieces) != head[0].Pieces || !sameReceived(head[0], done) {
		t.Fatalf("%d pieces are explained, the head is %+v, done said %+v", len(pieces), head, done)
	}
	sums := make(map[string]int64)
	reasons := make(map[string]int)
	for i, p := range pieces {
		if p.Index != i || p.State != "received" || p.From == "" || p.Tier == "" || p.Reason == "" || p.Waited < 0 {
			t.Errorf("piece %d: %+v", i, p)
		}
		if p.Tier == "origin" && p.Reason != "granted" && p.Reason != "stalled" {
			t.Errorf("piece %d came from the origin because %s", i, p.Reason)
		}
		reasons[p.Tier+" "+p.Reason]++
		sums[p.Tier] += p.Bytes
		for _, s := range p.Also {
			sums[s.Tier] += s.Bytes
		}
	}
	t.Logf("%v %v", reasons, sums)
	var sum int64
	for tier, bytes := range done.Received {
		sum += sums[tier]
		if tier != "reused" && (sums[tier] > bytes || done.Wasted == 0 && sums[tier] != bytes) {
			t.Errorf("explained are %d bytes from %s, of %d", sums[tier], tier, bytes)
		}
	}
	if sum != done.received()-done.Wasted {
		t.Errorf("explained are %d bytes, of %d less %d wasted", sum, done.received(), done.Wasted)
	}
}

func sameReceived(a, b line) bool {
	for tier, bytes := range b.Received {
		if a.Received[tier] != bytes {
			return false
		}
	}
	return a.Wasted == b.Wasted && len(a.Received) == len(b.Received)
}

// shared checks what the origin says that it granted.
func shared(t *testing.T, published line, lines []line) {
	t.Helper()
	items := only("item", lines)
	if len(items) != 1 || items[0].Granted == nil {
		t.Fatalf("seed status says %+v", items)
	}
	g := items[0].Granted
	if g.Ever < 1 || g.Ever > 2 || g.Copies < 1 || g.Copies > 2.1 || g.Times[0] != 0 {
		t.Errorf("the origin says %+v", *g)
	}
	pieces := only("granted", lines)
	if len(pieces) != g.Times[1]+g.Times[2]+g.Times[3] {
		t.Errorf("%d pieces have lines, %v were granted", len(pieces), g.Times)
	}
	for i, p := range pieces {
		if p.Index != i || p.Infohash != published.Infohash || len(p.To) != min(p.Times, 8) || p.To[0].Addr == "" {
			t.Errorf("piece %d: %+v", i, p)
		}
	}
}

// statusPage checks what the node tells programs of this machine.
func statusPage(t *testing.T, addr, infohash string) {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Items []line
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.Items) != 1 || got.Items[0].Infohash != infohash || got.Items[0].State != "seeding" || got.Items[0].Granted == nil {
		t.Errorf("/status says %+v", got.Items)
	}
}
