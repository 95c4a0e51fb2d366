package main_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
)

// command runs a command of the system.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// testLAN: nobody is told an address. What is known is the channel's id.
func testLAN(t *testing.T, l *lab) {
	t.Run("IPv4", func(t *testing.T) {
		t.Parallel()
		ns := hosts(t, l, netip.MustParsePrefix("10.82.0.1/24"), 2)
		meet(t, l.side(t, ns[0]), l.side(t, ns[1]), l.side(t, ns[1]), "10.82.0.2:")
	})
	t.Run("IPv6 alone", func(t *testing.T) {
		t.Parallel()
		ns := hosts(t, l, netip.MustParsePrefix("fd82::1/64"), 2)
		for _, n := range ns {
			if out := command(t, "ip", "-n", n, "-4", "addr", "show", "dev", "eth0"); strings.Contains(out, "inet") {
				t.Fatalf("there is IPv4 on eth0: %s", out)
			}
		}
		meet(t, l.side(t, ns[0]), l.side(t, ns[1]), l.side(t, ns[1]), "[fd82::2]:")
	})
	t.Run("loopback alone", func(t *testing.T) {
		t.Parallel()
		h, err := l.network(t).Lone(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ns := h.Namespace()
		if out := command(t, "ip", "-n", ns, "-br", "link"); strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "lo") {
			t.Fatalf("there is more than loopback: %s", out)
		}
		meet(t, l.side(t, ns), l.side(t, ns), l.side(t, ns), "127.0.0.1:")
	})
	t.Run("lan-only", func(t *testing.T) { t.Parallel(); testLANOnly(t, l) })
}

// meet lets one publish, another fetch by the bare id, and a third see the offer. The publisher is reached at addr.
func meet(t *testing.T, first, second, watcher *side, addr string) {
	t.Helper()
	if out := command(t, "ip", "-n", second.namespace, "route", "show", "default") +
		command(t, "ip", "-n", second.namespace, "-6", "route", "show", "default"); out != "" {
		t.Fatalf("there is a default route: %s", out)
	}
	file := writeFile(t, first.path("news.bin"), 3<<20+1)
	_, published := first.publish(file, "--title", "a title")
	watching := watcher.start("fetch", "lan", "--timeout", "0")

	done := second.fetched("handful:"+published.Channel, "-o", second.path("out"))
	if done.received() != done.Bytes+done.Wasted || done.Received["origin"] == 0 {
		t.Errorf("received is %v", done.Received)
	}
	sameFiles(t, file, second.path("out", "news.bin"))

	offer := watching.await("offer", is("offer"))
	if offer.Channel != published.Channel || offer.Name != "news.bin" || offer.Bytes != published.Bytes || !strings.HasPrefix(offer.Peer, addr) {
		t.Errorf("the offer is %+v", offer)
	}
	watching.stop()
}
