package console

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"handful/manifest"
	"handful/swarm"
	"handful/swarm/policy"
	"handful/swarm/store"
)

// This file shows what a node does: it turns snapshots into lines and waits for
// items.

// pulse is how often an item is looked at while a command waits for it.
const pulse = 200 * time.Millisecond

// ErrNoProgress: nothing came closer to completion for --timeout.
var ErrNoProgress = errors.New("no progress")

// PlanOf is what a dry run says of a torrent.
func PlanOf(action string, t *manifest.Torrent) Plan {
	ih := t.InfoHash()
	p := Plan{Action: action, Name: t.Name, Bytes: t.Length(), PieceLength: t.PieceLength, Pieces: t.NumPieces(), Infohash: hex.EncodeToString(ih[:])}
	for _, f := range t.Files {
		if !f.Pad {
			p.Files++
		}
	}
	switch {
	case t.HasV1() && t.HasV2():
		p.Format = "hybrid"
	case t.HasV2():
		p.Format = "v2"
	default:
		p.Format = "v1"
	}
	return p
}

// publicRouters are nodes of the public DHT that their owners keep for newcomers.
var publicRouters = []string{"router.bittorrent.com:6881", "dht.transmissionbt.com:6881", "router.utorrent.com:6881", "dht.libtorrent.org:25401"}

// DHTFile is the file in a state directory that keeps whom a node knows in the DHT.
const DHTFile = "dht"

// Config returns what the options say about a node.
func (n Node) Config(a *App) (swarm.Config, error) {
	cfg := swarm.Config{
		Listen:     n.Listen,
		Interfaces: n.Ifaces,
		LANOnly:    n.LANOnly,
		DHT:        n.DHT,
		MachineID:  n.MachineID,
		Site:       n.Site,
		Blind:      n.Blind,
		Handful:    n.Handful,
		LimitUp:    n.LimitUp.Timetable,
		LimitDown:  n.LimitDown.Timetable,
		LimitLAN:   n.LimitLAN,
		Logger:     a.Log(),
		Now:        a.Env.Now,
	}
	if cfg.DHTBootstrap = n.Bootstrap; len(cfg.DHTBootstrap) == 0 {
		cfg.DHTBootstrap = publicRouters
	}
	if cfg.MachineID == "" {
		cfg.MachineID = machineID()
	}
	if n.SiteMap != "" {
		var err error
		if cfg.SiteMap, err = readSiteMap(a.Env.Path(n.SiteMap)); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// readSiteMap reads the file of --site-map.
func readSiteMap(path string) (*policy.SiteMap, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the site map: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, policy.MaxSiteMapBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the site map: %w", err)
	}
	m, err := policy.ParseSiteMap(text)
	if err != nil {
		return nil, &Fault{Code: Usage, Message: "site map " + path, Hint: "correct that line; each is a prefix and a label, # begins a comment", Err: err}
	}
	return m, nil
}

// machineID returns what tells this machine from others: the system's id where
// there is one, else its name.
func machineID() string {
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if b, err := os.ReadFile(path); err == nil && len(strings.TrimSpace(string(b))) > 0 {
			return strings.TrimSpace(string(b))
		}
	}
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// lookupTime is how long names are looked up, all together: a resolver that cannot be
// reached must not keep a command from peers that are near.
const lookupTime = 2 * time.Second

// Resolve turns HOST:PORT words into addresses. Words that lead nowhere are
// returned in the error, beside the addresses of the others; with lanOnly no name
// is looked up.
func Resolve(ctx context.Context, words []string, lanOnly bool) (out []netip.AddrPort, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	for _, word := range words {
		if ap, e := netip.ParseAddrPort(word); e == nil {
			out = append(out, ap)
			continue
		}
		host, port, e := net.SplitHostPort(word)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("peer %s: %w", word, e))
			continue
		}
		if lanOnly {
			err = errors.Join(err, fmt.Errorf("peer %s: names are not looked up with --lan-only", word))
			continue
		}
		number, e := net.DefaultResolver.LookupPort(ctx, "tcp", port)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("peer %s: %w", word, e))
			continue
		}
		addrs, e := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("peer %s: %w", word, e))
			continue
		}
		for _, a := range addrs {
			out = append(out, netip.AddrPortFrom(a.Unmap(), uint16(number)))
		}
	}
	return out, err
}

// ListeningOf says where a node can be reached.
func ListeningOf(n *swarm.Node, tracker bool) Listening {
	addr := netip.AddrPortFrom(netip.IPv6Unspecified(), n.Port()).String() // no interface is up
	if all := n.Addrs(); len(all) > 0 {
		addr = all[0].String()
	}
	l := Listening{Addr: addr}
	if tracker {
		l.Tracker = "http://" + addr + "/announce"
	}
	return l
}

// ReceivedOf shows where an item's bytes came from.
func ReceivedOf(s swarm.ItemSnapshot) Received {
	r := s.Received
	return Received{
		Host: r[swarm.TierHost], Link: r[swarm.TierLink], Site: r[swarm.TierSite], Far: r[swarm.TierFar],
		Origin: r[swarm.TierOrigin], Webseed: r[swarm.TierWebSeed], Reused: s.Reused,
	}
}

// ProgressOf shows how far an item is.
func ProgressOf(s swarm.ItemSnapshot) Progress {
	p := Progress{Name: s.Name, Done: s.Done, Total: s.Bytes, DownRate: int64(s.DownRate), UpRate: int64(s.UpRate), Peers: len(s.Peers)}
	switch s.State {
	case swarm.StateMetadata, swarm.StateLayers:
		p.Stage = "metadata"
	case swarm.StateChecking, swarm.StateFinishing:
		p.Stage = "check"
	}
	return p
}

// StateOf is the word for an item's state in Item.State.
func StateOf(s swarm.ItemSnapshot) string {
	switch s.State {
	case swarm.StateMetadata, swarm.StateLayers:
		return "waiting"
	case swarm.StateFailed:
		return "stopped"
	case swarm.StateFinishing:
		return "checking"
	}
	return string(s.State)
}

// Moving adds what a node moves right now to an Item.
func (l *Item) Moving(s swarm.ItemSnapshot) {
	l.State = StateOf(s)
	l.Done, l.Peers = s.Done, len(s.Peers)
	l.DownRate, l.UpRate = int64(s.DownRate), int64(s.UpRate)
	if l.Granted = SharedOf(s); l.Granted == nil {
		r := ReceivedOf(s)
		l.Received, l.Wasted = &r, s.Wasted
	}
	if s.Path != "" {
		l.Path = s.Path
	}
}

// AwaitItem waits until an item is complete and in place.
func AwaitItem(ctx context.Context, it *swarm.Item, timeout time.Duration, now func() time.Time, report func(Progress)) error {
	t := time.NewTicker(pulse)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-it.Done():
			return it.Err()
		case <-t.C:
		}
		s := it.Snapshot()
		report(ProgressOf(s))
		if timeout > 0 && now().Sub(s.LastProgress) >= timeout {
			return starved(s, timeout)
		}
	}
}

// starved says what an item waited for in vain.
func starved(s swarm.ItemSnapshot, timeout time.Duration) error {
	what := fmt.Sprintf("%s of %s", Bytes(s.Done), Bytes(s.Bytes))
	if s.State == swarm.StateMetadata {
		what = "not even the metadata"
	}
	hint := "name a peer with --peer HOST:PORT, check that the publisher runs, or wait longer with --timeout"
	if len(s.Peers) > 0 {
		hint = "the peers that are connected do not have the rest: wait until the publisher is back; the same command goes on from what is on disk"
	}
	return &Fault{Code: NotFound, Hint: hint, Err: fmt.Errorf("%s: %s after %s: %w, %d of %d known peers are connected",
		s.Infohash, what, Span(timeout), ErrNoProgress, len(s.Peers), s.Known)}
}

// AwaitSeeding waits while an item is seeded, until stay.For has passed (0: no
// such limit) or so many copies were given back since now (0: no such limit).
func AwaitSeeding(ctx context.Context, it *swarm.Item, stay Stay, changed <-chan error, report func(Progress)) error {
	t := time.NewTicker(pulse)
	defer t.Stop()
	var end <-chan time.Time
	if stay.For > 0 {
		timer := time.NewTimer(stay.For)
		defer timer.Stop()
		end = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-end:
			return nil
		case err := <-changed:
			return err
		case <-t.C:
		}
		s := it.Snapshot()
		if s.State == swarm.StateFailed {
			return s.Err
		}
		report(ProgressOf(s))
		if stay.Ratio > 0 && s.Bytes > 0 && float64(s.Uploaded) >= stay.Ratio*float64(s.Bytes) {
			return nil
		}
	}
}

// Where the known peers stand in a store.
const knownBucket, knownKey = "peers", "known"

// LoadKnown returns the peers that a store remembers, for swarm.Config.Known.
// Losing them costs a search, so an error is a warning in the log.
func LoadKnown(s *store.Store, log *slog.Logger) []byte {
	b, err := s.Blob(knownBucket, knownKey)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		log.Warn("the list of known peers cannot be read", "err", err)
	}
	return b
}

// SaveKnown keeps the peers that a node knows.
func SaveKnown(s *store.Store, n *swarm.Node) error {
	return s.SetBlob(knownBucket, knownKey, n.Known())
}
