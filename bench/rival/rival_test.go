package rival

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
)

func TestVersionIn(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"aria2 version 1.36.0\nCopyright", "1.36.0"},
		{"transmission-daemon 3.00 (bb6b5a062e)", "3.00"},
		{"Rakshasa's BitTorrent client version 0.9.8.\n", "0.9.8"},
		{"nginx version: nginx/1.22.1\n", "1.22.1"},
		{"2.0.8.0\n", "2.0.8.0"},
		{"mktorrent 1.1 (c) 2007, 2009 Emil Renner Berthing", "1.1"},
		{"command not found", ""},
		{"", ""},
	} {
		if got := versionIn(c.text); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestFindNamesThePackage(t *testing.T) {
	_, err := find(t.Context(), "no-such-program-here", "no-such-package")
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "no-such-package") {
		t.Errorf("got %v", err)
	}
	if _, err := Handful(Tools{}).Find(t.Context()); !errors.Is(err, ErrMissing) {
		t.Errorf("unbuilt commands: %v", err)
	}
}

func TestParseHandful(t *testing.T) {
	e, ok := parseHandful(`{"type":"published","channel":"c","writer":"m","index":0,"link":"handful:x","torrent":"/t"}`)
	if !ok || !e.ready || e.done || e.link != "handful:x" || e.torrent != "/t" {
		t.Errorf("published: %+v, %v", e, ok)
	}
	e, ok = parseHandful(`{"type":"done","path":"p","bytes":100,"received":{"host":1,"link":20,"site":0,"far":4,"origin":50,"webseed":0,"reused":30},"wasted":5,"uploaded":7}`)
	if !ok || !e.done || e.stats == nil {
		t.Fatalf("done: %+v, %v", e, ok)
	}
	if want := (Stats{Received: 80, Wasted: 5, Uploaded: 7, Host: 1}); *e.stats != want {
		t.Errorf("counters %+v, want %+v", *e.stats, want)
	}
	e, ok = parseHandful(`{"type":"error","code":10,"message":"no peers","hint":"add --peer"}`)
	if !ok || e.failure == nil || e.ready || e.done || e.failure.Error() != "code 10: no peers (add --peer)" {
		t.Errorf("error: %+v, %v", e, ok)
	}
	for _, line := range []string{"", "not json", `{"type":"progress","done":1}`} {
		if e, ok := parseHandful(line); ok && (e.ready || e.done || e.failure != nil) {
			t.Errorf("%q: %+v", line, e)
		}
	}
}

func TestParseJSON(t *testing.T) {
	e, ok := parseJSON(`{"type":"done","received":10,"wasted":3,"uploaded":4}`)
	if !ok || !e.done || e.stats == nil || *e.stats != (Stats{Received: 10, Wasted: 3, Uploaded: 4, Host: -1}) {
		t.Errorf("done: %+v, %v", e, ok)
	}
	if e, ok := parseJSON(`{"type":"ready"}`); !ok || !e.ready || e.done || e.stats != nil {
		t.Errorf("ready: %+v, %v", e, ok)
	}
	if e, ok := parseJSON(`{"type":"error","message":"disk full"}`); !ok || e.failure == nil {
		t.Errorf("error: %+v, %v", e, ok)
	}
}

func TestParseProcess(t *testing.T) {
	peak, anon := parseStatus("Name:\tx\nVmHWM:\t  20480 kB\nVmRSS:\t  100 kB\nRssAnon:\t    1024 kB\nThreads:\t5\n")
	if peak != 20<<20 || anon != 1<<20 {
		t.Errorf("peak %d, anonymous %d", peak, anon)
	}
	if peak, anon := parseStatus("Name:\tzombie\n"); peak != -1 || anon != -1 {
		t.Errorf("of a zombie: %d, %d", peak, anon)
	}
	cpu, ok := parseStat("12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15")
	if !ok || cpu != 2*time.Second {
		t.Errorf("got %v, %v", cpu, ok)
	}
	for _, bad := range []string{"", "12 (x", "12 (x) S 1 2", "12 (x) S 1 2 3 4 5 6 7 8 9 10 a b 13"} {
		if _, ok := parseStat(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestWithTracker(t *testing.T) {
	const info = "d6:lengthi3e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae"
	in := "d8:announce3:old13:announce-listll3:oldee7:comment2:hi4:info" + info + "e"
	out, err := WithTracker([]byte(in), "http://t/announce")
	if err != nil {
		t.Fatal(err)
	}
	if want := "d8:announce17:http://t/announce7:comment2:hi4:info" + info + "e"; string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
	for _, bad := range []string{"", "de", "i1e", "d4:info"} {
		if _, err := WithTracker([]byte(bad), "http://t"); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// announce asks a peer list as a client does, and returns the peers of the answer.
func announce(ctx context.Context, url string, port int) ([]netip.AddrPort, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s?info_hash=x&port=%d&compact=1", url, port), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s, %v", resp.Status, body, err)
	}
	var answer struct {
		Peers string `bencode:"peers"`
	}
	if err := bencode.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	var peers []netip.AddrPort
	for p := answer.Peers; len(p) >= 6; p = p[6:] {
		addr, _ := netip.AddrFromSlice([]byte(p[:4]))
		peers = append(peers, netip.AddrPortFrom(addr, uint16(p[4])<<8|uint16(p[5])))
	}
	return peers, nil
}

func TestPeerListHoldsLeechersUntilAllHaveAsked(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), uint16(100+i))
	}
	list, err := NewPeerList(l, at(0), []netip.AddrPort{at(1), at(2), at(3)})
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	if peers, err := announce(t.Context(), list.URL(), 100); err != nil || len(peers) != 0 {
		t.Fatalf("the seed got %v, %v", peers, err)
	}
	if _, err := announce(t.Context(), list.URL(), 0x10000); err == nil {
		t.Error("an impossible port was taken")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := list.Start(gone); err == nil || !strings.Contains(err.Error(), "3 of 3") {
		t.Errorf("start before anybody asked: %v", err)
	}
	var asking sync.WaitGroup
	answers := make([][]netip.AddrPort, 4)
	for i := 1; i <= 3; i++ {
		asking.Go(func() {
			var err error
			if answers[i], err = announce(t.Context(), list.URL(), 100+i); err != nil {
				t.Error(err)
			}
		})
	}
	if started, err := list.Start(t.Context()); err != nil || started.IsZero() {
		t.Errorf("start: %v, %v", started, err)
	}
	asking.Wait()
	for i := 1; i <= 3; i++ {
		seen := map[netip.AddrPort]bool{}
		for _, p := range answers[i] {
			seen[p] = true
		}
		if len(seen) != 3 || !seen[at(0)] || seen[at(i)] {
			t.Errorf("leecher %d got %v", i, answers[i])
		}
	}
	if _, err := NewPeerList(l, at(0), []netip.AddrPort{at(1), at(1)}); err == nil {
		t.Error("two leechers with one port were taken")
	}
}

// shell runs a script as an instance.
func shell(t *testing.T, script string, p program) *Instance {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil || runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	p.name, p.args = "script", []string{"sh", "-c", script}
	if p.parse == nil {
		p.parse = parseHook
	}
	in, err := start(t.Context(), Job{Work: t.TempDir()}, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Stop)
	return in
}

func TestInstanceTellsWhyItFailed(t *testing.T) {
	in := shell(t, "echo one; echo the disk is full >&2; exit 3", program{})
	err := in.Wait(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the disk is full") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
	if err := in.Ready(t.Context()); err == nil {
		t.Error("it was ready")
	}
	<-in.Exited()
	if in.ExitCode() != 3 || !in.DoneAt().IsZero() {
		t.Errorf("exit code %d, done at %v", in.ExitCode(), in.DoneAt())
	}
}

func TestInstanceDoneBeforeItsEnd(t *testing.T) {
	in := shell(t, "echo ready; echo done", program{})
	for _, wait := range []func(context.Context) error{in.Ready, in.Wait} {
		if err := wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	exit := shell(t, "exit 0", program{exitIsDone: true})
	if err := exit.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestInstanceStopEndsItsChildren(t *testing.T) {
	// The child keeps the output open: only when it is gone, too, does the pipe end.
	in := shell(t, "trap 'exit 0' TERM; sleep 1000 & echo ready; wait", program{})
	if err := in.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.Wait(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("wait with a cancelled context: %v", err)
	}
	in.Stop()
	if in.ExitCode() == -1 && in.cmd.ProcessState == nil {
		t.Error("it still runs")
	}
	in.Stop() // a second time does no harm
}

func TestJobIsChecked(t *testing.T) {
	addr := netip.MustParseAddrPort("127.0.0.2:1000")
	for _, j := range []Job{
		{}, {Work: t.TempDir(), Dir: "x"}, {Work: t.TempDir(), Listen: addr},
		{Work: t.TempDir(), Dir: "x", Listen: netip.AddrPortFrom(addr.Addr(), 0)},
	} {
		if _, err := Aria2().Leech(t.Context(), j); err == nil {
			t.Errorf("%+v was taken", j)
		}
	}
	j := Job{Work: t.TempDir(), Dir: t.TempDir(), Listen: addr}
	if _, err := Transmission().Leech(t.Context(), j); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Transmission on loopback: %v", err)
	}
	j.UpLimit = 1
	if _, err := Nginx().Seed(t.Context(), j); !errors.Is(err, ErrUnsupported) {
		t.Errorf("nginx with a limit: %v", err)
	}
}

func TestPeerListLetsArrivalsInByTurn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), uint16(100+i))
	}
	const every = 30 * time.Millisecond
	list, err := NewArrivals(l, at(0), []netip.AddrPort{at(3), at(1), at(2)}, every)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := list.Start(gone); err == nil {
		t.Error("it started before anybody had come")
	}
	var asking sync.WaitGroup
	var answered [4]time.Time
	var answers [4][]netip.AddrPort
	ask := func(i int) {
		var err error
		if answers[i], err = announce(t.Context(), list.URL(), 100+i); err != nil {
			t.Error(err)
		}
		answered[i] = time.Now()
	}
	asking.Go(func() { ask(2) }) // too early: it waits for the first, and then for its turn
	asking.Go(func() { ask(1) })
	ask(3)
	asking.Wait()
	started, err := list.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for turn, i := range []int{3, 1, 2} {
		if early := started.Add(time.Duration(turn) * every).Sub(answered[i]); early > 0 {
			t.Errorf("leecher %d came %s before its turn", i, early)
		}
		if len(answers[i]) == 0 || answers[i][0] != at(0) {
			t.Fatalf("leecher %d was not told of the seed: %v", i, answers[i])
		}
		for _, p := range answers[i][1:] {
			turn := map[netip.AddrPort]time.Duration{at(3): 0, at(1): 1, at(2): 2}[p]
			if p == at(i) || started.Add(turn*every).After(answered[i]) {
				t.Errorf("leecher %d was told of %v, which had not come", i, p)
			}
		}
	}
	again, err := announce(t.Context(), list.URL(), 103)
	if err != nil || len(again) != 3 {
		t.Errorf("the first, when all are there, was told of %v, %v", again, err)
	}
}

func TestPeerListAdmitsOneMore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), uint16(100+i))
	}
	list, err := NewPeerList(l, at(0), []netip.AddrPort{at(1)})
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	told := func(i int) []netip.AddrPort {
		got, err := announce(t.Context(), list.URL(), 100+i)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, netip.AddrPort.Compare)
		return got
	}
	if got := told(1); !slices.Equal(got, []netip.AddrPort{at(0)}) {
		t.Errorf("the first was told of %v", got)
	}
	if got := told(2); len(got) != 0 {
		t.Errorf("a stranger was told of %v", got)
	}
	if err := list.Admit(at(2)); err != nil {
		t.Fatal(err)
	}
	if got := told(2); !slices.Equal(got, []netip.AddrPort{at(0), at(1)}) {
		t.Errorf("the newcomer was told of %v", got)
	}
	if got := told(1); !slices.Equal(got, []netip.AddrPort{at(0), at(2)}) {
		t.Errorf("the first was then told of %v", got)
	}
	for _, twice := range []int{0, 1, 2} {
		if err := list.Admit(at(twice)); err == nil {
			t.Errorf("%d was let in twice", twice)
		}
	}
	if got := told(0); len(got) != 0 {
		t.Errorf("the seed was told of %v", got)
	}
	list.TellSeed()
	if got := told(0); !slices.Equal(got, []netip.AddrPort{at(1), at(2)}) {
		t.Errorf("the restarted seed was told of %v", got)
	}
}
