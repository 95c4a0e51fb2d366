//go:build linux

package netns

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// network makes one, or skips the test with the reason.
func network(t *testing.T) *Network {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
	n, err := New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func bridge(t *testing.T, n *Network, addr string, multicast bool) *Bridge {
	t.Helper()
	b, err := n.Bridge(t.Context(), BridgeOptions{Addr: netip.MustParsePrefix(addr), Multicast: multicast})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func host(t *testing.T, b *Bridge, addr string, up int64) *Host {
	t.Helper()
	h, err := b.Host(t.Context(), HostOptions{Addr: netip.MustParsePrefix(addr), Up: Shape{Rate: up}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// send moves n bytes over TCP from one host to another and waits until all have arrived.
func send(t *testing.T, from, to *Host, n int64) {
	t.Helper()
	l, err := Listen(to.Namespace(), netip.AddrPortFrom(to.Addr(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	arrived := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			arrived <- -1
			return
		}
		defer c.Close()
		got, _ := io.Copy(io.Discard, c)
		arrived <- got
	}()
	c, err := Dial(t.Context(), from.Namespace(), netip.MustParseAddrPort(l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(c, zeros{}, n); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := <-arrived; got != n {
		t.Fatalf("%d bytes arrived, want %d", got, n)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestShapedTransferIsCounted(t *testing.T) {
	n := network(t)
	b := bridge(t, n, "10.88.0.1/16", false)
	one, two := host(t, b, "10.88.0.2/16", 100e6), host(t, b, "10.88.0.3/16", 100e6)
	before, err := one.Shaper(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const payload = 1 << 20
	send(t, one, two, payload)
	after, err := one.Shaper(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Frames of 1514 bytes carry at most 1460: at least 3.7 % more than the payload; at most 30 % with lost ones.
	if sent := after.Bytes - before.Bytes; sent < payload*1037/1000 || sent > payload*13/10 {
		t.Errorf("the shaper counted %d bytes for a payload of %d", sent, payload)
	}
	c, err := two.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if c.RxBytes < payload || c.TxBytes >= payload {
		t.Errorf("the receiver's device counted %+v", c)
	}
	// One segment's packet must never pass the small limit that was set.
	out, err := exec.CommandContext(t.Context(), "ip", "-n", one.Namespace(), "-d", "link", "show", "eth0").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "gso_max_size 6000 gso_max_segs 4") {
		t.Errorf("segmentation was not made small: %s", out)
	}
}

func TestTrunkIsCountedEachWay(t *testing.T) {
	n := network(t)
	a, b := bridge(t, n, "10.88.0.1/16", false), bridge(t, n, "10.88.0.2/16", false)
	trunk, err := n.Join(t.Context(), a, b, Shape{Rate: 100e6})
	if err != nil {
		t.Fatal(err)
	}
	send(t, host(t, a, "10.88.1.1/16", 0), host(t, b, "10.88.2.1/16", 0), 1<<19)
	there, back, err := trunk.Sent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if there.Bytes < 1<<19 || back.Bytes > 1<<18 {
		t.Errorf("trunk carried %d there and %d back for %d bytes there", there.Bytes, back.Bytes, 1<<19)
	}
}

func TestMulticastOnlyWhenAskedFor(t *testing.T) {
	n := network(t)
	for _, multicast := range []bool{true, false} {
		b := bridge(t, n, "10.88.0.1/16", multicast)
		one, two := host(t, b, "10.88.0.2/16", 0), host(t, b, "10.88.0.3/16", 0)
		send(t, one, two, 1) // the links are up: the first frames on a new one may be lost, which TCP hides
		group := &net.UDPAddr{IP: net.IPv4(239, 192, 152, 143), Port: 6771}
		var in *net.UDPConn
		err := Do(two.Namespace(), func() (err error) {
			ifi, err := net.InterfaceByName("eth0")
			if err != nil {
				return err
			}
			in, err = net.ListenMulticastUDP("udp4", ifi, group)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		var out net.Conn
		err = Do(one.Namespace(), func() (err error) {
			out, err = net.DialUDP("udp4", &net.UDPAddr{IP: one.Addr().AsSlice()}, group)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if _, err := out.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		patience := 10 * time.Second
		if !multicast { // what comes after it on the same link has arrived, so it would have, too
			send(t, one, two, 1)
			patience = 20 * time.Millisecond
		}
		if err := in.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 16)
		k, err := in.Read(buf)
		if arrived := err == nil && string(buf[:k]) == "hello"; arrived != multicast {
			t.Errorf("multicast %v: got %q, %v", multicast, buf[:k], err)
		}
	}
}

func TestCloseEndsWhatRunsInside(t *testing.T) {
	n := network(t)
	h, err := n.Lone(t.Context(), netip.MustParsePrefix("10.88.0.1/32"), netip.MustParsePrefix("10.88.0.2/32"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := Start(h.Namespace(), cmd); err != nil {
		t.Fatal(err)
	}
	inside, err := output(t.Context(), "ip", "netns", "pids", h.Namespace())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Fields(string(inside)), strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("process %d is not among those of the namespace: %q", cmd.Process.Pid, inside)
	}
	switchName := n.Switch()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the program ended by itself")
	}
	if err := Do(switchName, func() error { return nil }); err == nil {
		t.Error("the switch's namespace is still there")
	}
	if err := n.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestLeftoversOfDeadRunsAreRemoved(t *testing.T) {
	n := network(t)
	dead := exec.Command("true") // its process id belongs to nobody now
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	left := namePrefix + strconv.Itoa(dead.Process.Pid) + "-1-switch"
	if err := run(t.Context(), "", "ip", "netns", "add", left); err != nil {
		t.Fatal(err)
	}
	if err := removeLeftovers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := Do(left, func() error { return nil }); err == nil {
		t.Error("the dead run's namespace is still there")
	}
	if err := Do(n.Switch(), func() error { return nil }); err != nil {
		t.Errorf("a living run's namespace is gone: %v", err)
	}
}

func TestUnpluggedHostIsSilent(t *testing.T) {
	n := network(t)
	b := bridge(t, n, "10.88.0.1/16", false)
	one, two := host(t, b, "10.88.0.2/16", 0), host(t, b, "10.88.0.3/16", 0)
	l, err := Listen(two.Namespace(), netip.AddrPortFrom(two.Addr(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := Dial(t.Context(), one.Namespace(), netip.MustParseAddrPort(l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := two.Unplug(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write([]byte("hello")); err != nil {
		t.Errorf("the sender was told: %v", err)
	}
	if err := in.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if k, err := in.Read(make([]byte, 16)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v; want silence", k, err)
	}
	if c, err := two.Counters(); err != nil || c.TxBytes == 0 { // it can still be read
		t.Errorf("counters %+v, %v", c, err)
	}
	lone, err := n.Lone(t.Context(), netip.MustParsePrefix("10.88.0.9/32"))
	if err != nil {
		t.Fatal(err)
	}
	if err := lone.Unplug(t.Context()); err == nil {
		t.Error("a host without a cable was unplugged")
	}
}

func TestErrors(t *testing.T) {
	n := network(t)
	if err := Do("handful-bench-none", func() error { return nil }); err == nil {
		t.Error("entered a namespace that does not exist")
	}
	b := bridge(t, n, "10.88.0.1/16", false)
	h := host(t, b, "10.88.0.2/16", 0)
	if _, err := h.Shaper(t.Context()); err == nil {
		t.Error("an unshaped host has a shaper")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Host(ctx, HostOptions{Addr: netip.MustParsePrefix("10.88.0.4/16")}); !errors.Is(err, context.Canceled) {
		t.Errorf("host after cancel: %v", err)
	}
	want := errors.New("from inside")
	if err := Do(h.Namespace(), func() error { return want }); err != want {
		t.Errorf("got %v, want the function's own error", err)
	}
}

func TestSitesAreRoutedOverTheirLinks(t *testing.T) {
	n := network(t)
	site := func(prefix string) *Site {
		t.Helper()
		s, err := n.Site(t.Context(), SiteOptions{Addr: netip.MustParsePrefix(prefix), Link: Shape{Rate: 100e6}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, two, three := site("10.88.1.1/24"), site("10.88.2.1/24"), site("10.88.3.1/24")
	a, b := host(t, one.Bridge, "10.88.1.2/24", 0), host(t, two.Bridge, "10.88.2.2/24", 0)
	const payload = 1 << 19
	send(t, a, b, payload)
	send(t, a, host(t, one.Bridge, "10.88.1.3/24", 0), payload) // stays inside
	l, err := one.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dial(t.Context(), a.Namespace(), netip.MustParseAddrPort(l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if count, err := a.Connections(); err != nil || count != 1 {
		t.Errorf("%d connections, %v, where one is open", count, err)
	}
	go func() {
		if served, err := l.Accept(); err == nil {
			io.Copy(io.Discard, served)
			served.Close()
		}
	}()
	if _, err := io.CopyN(c, zeros{}, payload); err != nil { // so does this
		t.Fatal(err)
	}
	for _, k := range []struct {
		name    string
		site    *Site
		in, out bool // carried the payload
	}{{"sender's", one, false, true}, {"receiver's", two, true, false}, {"third", three, false, false}} {
		in, out, err := k.site.Carried(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, way := range []struct {
			name  string
			bytes int64
			want  bool
		}{{"in", in.Bytes, k.in}, {"out", out.Bytes, k.out}} {
			if way.want && (way.bytes < payload*1037/1000 || way.bytes > payload*13/10) || !way.want && way.bytes > payload/10 {
				t.Errorf("the %s link carried %d bytes %s, of %d that crossed once", k.name, way.bytes, way.name, payload)
			}
		}
	}
}

// TestTimersMayBeLate: a program that is started in a namespace has the slack, and the thread that started it does not keep it.
func TestTimersMayBeLate(t *testing.T) {
	n := network(t)
	h := host(t, bridge(t, n, "10.77.0.254/24", false), "10.77.0.1/24", 10e6)
	cmd := exec.Command("cat", "/proc/self/timerslack_ns")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := Start(h.Namespace(), cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(out.String()); got != "1000000" {
		t.Errorf("the program's slack is %q ns", got)
	}
	all, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range all {
		slack, err := os.ReadFile(filepath.Join("/proc", filepath.Base(task), "timerslack_ns"))
		if err == nil && strings.TrimSpace(string(slack)) == "1000000" {
			t.Errorf("thread %s kept the slack", filepath.Base(task))
		}
	}
}
