package discover_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"handful/swarm/discover"
	"handful/swarm/tracker"
)

// TestRealTracker has two nodes meet through a running tracker, over both of its
// protocols and both address families, and say good-bye.
func TestRealTracker(t *testing.T) {
	for _, tt := range []struct{ scheme, host string }{
		{"http", "127.0.0.1"}, {"udp", "127.0.0.1"}, {"http", "::1"}, {"udp", "::1"},
	} {
		t.Run(tt.scheme+" "+tt.host, func(t *testing.T) {
			t.Parallel()
			url := startTracker(t, tt.scheme, tt.host)
			hash := [20]byte{9, 9, 9}
			found := make(chan netip.AddrPort, 16)
			newNode := func(id byte, port uint16, left int64) *discover.Announcer {
				a := discover.NewAnnouncer(discover.AnnouncerConfig{
					PeerID:   [20]byte{id},
					Port:     port,
					Transfer: func([20]byte) discover.Transfer { return discover.Transfer{Left: left} },
					OnPeers: func(ih [20]byte, _ string, peers []netip.AddrPort) {
						for _, p := range peers {
							if ih == hash && p.Port() != port {
								found <- p
							}
						}
					},
					Literal: true,
				})
				t.Cleanup(func() { a.Close() })
				a.Set(hash, []string{url})
				return a
			}
			seed := newNode(1, 7101, 0)
			settled(t, seed, hash)
			leecher := newNode(2, 7102, 100)
			select {
			case p := <-found:
				if p.String() != netip.AddrPortFrom(netip.MustParseAddr(tt.host), 7101).String() {
					t.Errorf("found %s", p)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("the seed was not found: %v", leecher.State(hash))
			}
			if s := settled(t, leecher, hash); s.Seeds != 1 || s.Leechers != 1 {
				t.Errorf("the tracker counts %d seeds and %d leechers, want 1 and 1", s.Seeds, s.Leechers)
			}
			seed.Close()
			third := newNode(3, 7103, 100)
			if s := settled(t, third, hash); s.Seeds != 0 || s.Leechers != 2 {
				t.Errorf("after the seed's good-bye the tracker counts %d seeds and %d leechers, want 0 and 2", s.Seeds, s.Leechers)
			}
		})
	}
}

func startTracker(t *testing.T, scheme, host string) string {
	t.Helper()
	s := tracker.New(tracker.Config{})
	at := net.JoinHostPort(host, "0")
	if scheme == "udp" {
		pc, err := net.ListenPacket("udp", at)
		if err != nil {
			t.Skipf("no %s here: %v", host, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServePacket(ctx, pc)
		}()
		t.Cleanup(func() { cancel(); <-done; pc.Close() })
		return fmt.Sprintf("udp://%s/announce", pc.LocalAddr())
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Skipf("no %s here: %v", host, err)
	}
	srv := httptest.NewUnstartedServer(s)
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL + "/announce"
}

// settled waits until the one tracker has answered, well or badly.
func settled(t *testing.T, a *discover.Announcer, hash [20]byte) discover.TrackerState {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if s := a.State(hash)[0]; s.Err != nil {
			t.Fatalf("%s: %s", s.URL, s)
		} else if !s.Worked.IsZero() {
			return s
		}
	}
	t.Fatal("the tracker did not answer")
	return discover.TrackerState{}
}
