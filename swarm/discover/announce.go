package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anacrolix/torrent/tracker"
	trackerhttp "github.com/anacrolix/torrent/tracker/http"
)

// The events of BEP 3, by the numbers of BEP 15.
const (
	eventNone      = tracker.None
	eventCompleted = tracker.Completed
	eventStarted   = tracker.Started
	eventStopped   = tracker.Stopped
)

// maxResponse bounds a tracker's HTTP response: 400 peers take 7 KiB compact and
// 40 KiB as dictionaries.
const maxResponse = 256 << 10

// response is what a tracker said.
type response struct {
	interval        time.Duration
	seeds, leechers int
	peers           []netip.AddrPort
}

// gate is what stands between us and the network: which names are looked up and
// which addresses are talked to.
type gate struct {
	literal bool
	allow   func(netip.Addr) error
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

func newGate(cfg AnnouncerConfig) gate {
	g := gate{literal: cfg.Literal, allow: cfg.Allow, resolve: cfg.Resolve, dial: cfg.Dial}
	if g.allow == nil {
		g.allow = func(netip.Addr) error { return nil }
	}
	if g.resolve == nil {
		g.resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if g.dial == nil {
		g.dial = new(net.Dialer).DialContext
	}
	return g
}

// addrs returns the addresses of a host that may be talked to, or why there is
// none.
func (g gate) addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	var all []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		all = []netip.Addr{a}
	} else if host == "localhost" {
		all = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	} else if g.literal {
		return nil, fmt.Errorf("tracker host %q: %w", host, ErrNameRefused)
	} else if all, err = g.resolve(ctx, host); err != nil {
		return nil, fmt.Errorf("look up tracker %q: %w", host, err)
	}
	var (
		errs    []error
		allowed []netip.Addr
	)
	for _, a := range all {
		a = a.Unmap()
		if err := g.allow(a); err != nil {
			errs = append(errs, fmt.Errorf("tracker at %s: %w", a, err))
			continue
		}
		allowed = append(allowed, a)
	}
	switch {
	case len(allowed) > 0:
		return allowed, nil
	case len(errs) > 0:
		return nil, errors.Join(errs...)
	}
	return nil, fmt.Errorf("look up tracker %q: no address", host)
}

// routes picks one address of each family, another one at each turn.
func routes(addrs []netip.Addr, turn int) []netip.Addr {
	var v4, v6, out []netip.Addr
	for _, a := range addrs {
		if a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	for _, family := range [][]netip.Addr{v4, v6} {
		if len(family) > 0 {
			out = append(out, family[turn%len(family)])
		}
	}
	return out
}

// announce announces over each address family that the tracker has (BEP 7), side
// by side, since a tracker sees only the address that it was asked from. It
// fails when all of them do.
func (a *Announcer) announce(ctx context.Context, x *announcing, event tracker.AnnounceEvent, turn int) (response, error) {
	u, err := parseTracker(x.state.URL)
	if err != nil {
		return response{}, err
	}
	addrs, err := a.gate.addrs(ctx, u.Hostname())
	if err != nil {
		return response{}, err
	}
	t := a.cfg.Transfer(x.infohash)
	req := tracker.AnnounceRequest{
		InfoHash:   x.infohash,
		PeerId:     a.cfg.PeerID,
		Downloaded: t.Downloaded,
		Left:       t.Left,
		Uploaded:   t.Uploaded,
		Event:      event,
		Key:        a.key,
		NumWant:    -1,
		Port:       a.cfg.Port,
	}
	if event == eventStopped {
		req.NumWant = 0
	}
	via := routes(addrs, turn)
	results := make([]response, len(via))
	errs := make([]error, len(via))
	var wg sync.WaitGroup
	for i, addr := range via {
		wg.Go(func() { results[i], errs[i] = a.announceVia(ctx, u, addr, req) })
	}
	wg.Wait()
	var out response
	worked := false
	for i, r := range results {
		if errs[i] != nil {
			continue
		}
		worked = true
		out.interval = max(out.interval, r.interval)
		out.seeds, out.leechers = max(out.seeds, r.seeds), max(out.leechers, r.leechers)
		out.peers = append(out.peers, r.peers...)
	}
	if !worked {
		return response{}, errors.Join(errs...)
	}
	out.peers = a.usable(out.peers)
	return out, nil
}

// CheckTracker says why a tracker's URL cannot be used, or returns nil. What its
// host is, and whether it may be talked to, is not looked at.
func CheckTracker(rawURL string) error {
	_, err := parseTracker(rawURL)
	return err
}

func parseTracker(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("tracker: %w", err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "udp":
		return nil, fmt.Errorf("tracker %q: scheme %q is not http, https or udp", rawURL, u.Scheme)
	case u.Hostname() == "":
		return nil, fmt.Errorf("tracker %q: no host", rawURL)
	case u.Scheme == "udp" && u.Port() == "":
		return nil, fmt.Errorf("tracker %q: a udp tracker needs a port, as in udp://host:6969", rawURL)
	}
	return u, nil
}

// announceVia announces once, to one address of the tracker.
func (a *Announcer) announceVia(ctx context.Context, u *url.URL, addr netip.Addr, req tracker.AnnounceRequest) (response, error) {
	if u.Scheme != "udp" && addr.IsLoopback() && !strings.Contains(u.Path, "/announce") {
		// Whoever wrote the metainfo must not make us call services that trust
		// this machine. Trackers are told by their path.
		return response{}, fmt.Errorf("tracker %q: on this machine, only a path with /announce is asked", u)
	}
	opts := tracker.NewClientOpts{
		Slogger:      a.log,
		ListenPacket: a.listenPacket,
		Http: trackerhttp.NewClientOpts{
			MaxResponseBytes: maxResponse,
			DialContext: func(ctx context.Context, network, hostport string) (net.Conn, error) {
				return a.gate.connect(ctx, network, hostport, u.Hostname(), addr)
			},
		},
	}
	target := *u
	if u.Scheme == "udp" {
		// With a literal address and a family, the library has nothing to
		// look up.
		target.Host = net.JoinHostPort(addr.String(), u.Port())
		opts.UdpNetwork = udpNetwork(addr.Is6())
	}
	client, err := tracker.NewClient(target.String(), opts)
	if err != nil {
		return response{}, fmt.Errorf("tracker %s: %w", u.Host, err)
	}
	defer client.Close()
	res, err := client.Announce(ctx, req, tracker.AnnounceOpt{UserAgent: a.cfg.UserAgent})
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("no answer in time")
		} else if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the whole query, which nobody can read
		}
		return response{}, fmt.Errorf("tracker %s at %s: %w", u.Host, addr, err)
	}
	out := response{
		interval: time.Duration(res.Interval) * time.Second,
		seeds:    int(max(0, res.Seeders)),
		leechers: int(max(0, res.Leechers)),
	}
	for _, p := range res.Peers {
		if ap, ok := p.ToNetipAddrPort(); ok && p.Port > 0 && p.Port < 1<<16 {
			out.peers = append(out.peers, ap)
		}
	}
	return out, nil
}

// connect connects to a tracker over TCP. For the tracker's own host the address
// is settled; a host to which it redirects passes the gate like any other.
func (g gate) connect(ctx context.Context, network, hostport, host string, addr netip.Addr) (net.Conn, error) {
	to, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	if to != host {
		addrs, err := g.addrs(ctx, to)
		if err != nil {
			return nil, fmt.Errorf("redirected: %w", err)
		}
		if inner(addrs[0]) && !inner(addr) {
			return nil, fmt.Errorf("redirected to %s: a tracker outside must not point inside", addrs[0])
		}
		addr = addrs[0]
	}
	return g.dial(ctx, network, net.JoinHostPort(addr.String(), port))
}

// inner reports whether addr means a place that strangers outside cannot name.
func inner(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsUnspecified()
}

func (a *Announcer) listenPacket(network, address string) (net.PacketConn, error) {
	if a.cfg.ListenPacket != nil {
		return a.cfg.ListenPacket(network, address)
	}
	return net.ListenPacket(network, address)
}

// usable returns the peers that can be dialled and may be, each once.
func (a *Announcer) usable(peers []netip.AddrPort) []netip.AddrPort {
	var out []netip.AddrPort
	met := make(map[netip.AddrPort]bool)
	for _, p := range peers {
		addr := p.Addr().Unmap()
		p = netip.AddrPortFrom(addr, p.Port())
		if met[p] || addr.IsUnspecified() || addr.IsMulticast() || a.gate.allow(addr) != nil {
			continue
		}
		if met[p] = true; len(met) > MaxTrackerPeers {
			break
		}
		out = append(out, p)
	}
	return slices.Clip(out)
}
