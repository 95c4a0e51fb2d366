package rival

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/anacrolix/torrent/bencode"
)

// A PeerList is an HTTP tracker (BEP 3, 23) that knows everybody from the start. It is how every client, whatever it can
// be told, gets the same list at the same moment: the announces of leechers are held until all of them have come, then all are answered at
// once with everybody else's address. That moment is the start of a flash crowd. The seed gets an empty list.
//
// NewArrivals makes one that lets leechers in one after the other: each is told of the seed and of those that came before it.
//
// Admit lets in one more while the others are at it. TellSeed is for a seed that was started again.
//
// A leecher is known by the port that it announces, so all ports must differ.
type PeerList struct {
	seed   netip.AddrPort
	turn   map[uint16]time.Duration // when a leecher may come in, after start
	first  uint16                   // the leecher whose turn is first
	every  time.Duration            // between two turns; 0 = all come in together
	url    string
	server *http.Server
	start  chan struct{} // closed when all leechers have announced, or the first of those that come one by one

	mu       sync.Mutex // guards what follows
	leechers map[uint16]netip.AddrPort
	tellSeed bool
	missing  map[uint16]bool // leechers that have not announced yet
	present  map[uint16]bool // leechers that were let in
	at       time.Time       // of start
}

// NewPeerList serves on l until Close. Without leechers it answers at once.
func NewPeerList(l net.Listener, seed netip.AddrPort, leechers []netip.AddrPort) (*PeerList, error) {
	return NewArrivals(l, seed, leechers, 0)
}

// NewArrivals is NewPeerList for leechers that come one by one, in the order given, as far apart as every says; 0 = all
// together. Time runs from the announce of the first; one that announces before its turn waits for it.
func NewArrivals(l net.Listener, seed netip.AddrPort, leechers []netip.AddrPort, every time.Duration) (*PeerList, error) {
	p := &PeerList{
		seed: seed, url: "http://" + l.Addr().String() + "/announce", start: make(chan struct{}), every: every,
		leechers: map[uint16]netip.AddrPort{}, missing: map[uint16]bool{}, present: map[uint16]bool{},
		turn: map[uint16]time.Duration{},
	}
	for i, a := range leechers {
		if i == 0 {
			p.first = a.Port()
		}
		p.turn[a.Port()] = time.Duration(i) * every
		if _, twice := p.leechers[a.Port()]; twice || a.Port() == seed.Port() {
			return nil, fmt.Errorf("peer list: two peers with port %d", a.Port())
		}
		p.leechers[a.Port()] = a
		p.missing[a.Port()] = true
	}
	if len(leechers) == 0 {
		p.at = time.Now()
		close(p.start)
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go p.server.Serve(l) // ends with Close
	return p, nil
}

// Admit adds a leecher that nobody waits for. From now on it is in the answers to others; it is told itself of everybody.
func (p *PeerList) Admit(a netip.AddrPort) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, twice := p.leechers[a.Port()]; twice || a.Port() == p.seed.Port() {
		return fmt.Errorf("peer list: two peers with port %d", a.Port())
	}
	p.leechers[a.Port()] = a
	return nil
}

// TellSeed answers the seed's announces with the leechers from now on, as a tracker does that hears of a seed which knows
// nobody any more.
func (p *PeerList) TellSeed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tellSeed = true
}

// URL to announce to.
func (p *PeerList) URL() string { return p.url }

// Start waits for the moment in which everybody was told, and returns it.
func (p *PeerList) Start(ctx context.Context) (time.Time, error) {
	select {
	case <-p.start:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.at, nil
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		return time.Time{}, fmt.Errorf("%d of %d leechers have not announced themselves: %w",
			len(p.missing), len(p.leechers), context.Cause(ctx))
	}
}

// Close ends the tracker.
func (p *PeerList) Close() error {
	if err := p.server.Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("close peer list: %w", err)
	}
	return nil
}

// ServeHTTP answers an announce.
func (p *PeerList) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	port, err := strconv.ParseUint(r.URL.Query().Get("port"), 10, 16)
	if err != nil {
		http.Error(w, "announce without a port", http.StatusBadRequest)
		return
	}
	own := uint16(port)
	var peers []byte
	p.mu.Lock()
	_, leecher := p.leechers[own]
	seed := own == p.seed.Port() && p.tellSeed
	p.mu.Unlock()
	if seed {
		peers = p.others(own)
	} else if leecher {
		p.arrived(own)
		if !p.admitted(r.Context(), own) {
			return
		}
		peers = p.others(own)
	}
	answer, err := bencode.Marshal(map[string]any{"interval": 1800, "min interval": 1800, "peers": string(peers)})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Write(answer) // a client that went away does not matter
}

func (p *PeerList) arrived(port uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.missing[port] {
		return
	}
	delete(p.missing, port)
	if p.at.IsZero() && (len(p.missing) == 0 || p.every > 0 && port == p.first) {
		p.at = time.Now()
		close(p.start)
	}
}

// admitted waits for a leecher's turn; false if the leecher gave up.
func (p *PeerList) admitted(ctx context.Context, port uint16) bool {
	select {
	case <-p.start:
	case <-ctx.Done():
		return false
	}
	p.mu.Lock()
	wait := time.Until(p.at.Add(p.turn[port]))
	p.mu.Unlock()
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.present[port] = true
	return true
}

// others lists everybody who is there but one, in the compact form of BEP 23.
func (p *PeerList) others(own uint16) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []byte
	if own != p.seed.Port() {
		out = compact(out, p.seed)
	}
	for port, a := range p.leechers {
		if port != own && (p.every == 0 || p.present[port]) {
			out = compact(out, a)
		}
	}
	return out
}

func compact(out []byte, a netip.AddrPort) []byte {
	ip := a.Addr().As4()
	return binary.BigEndian.AppendUint16(append(out, ip[:]...), a.Port())
}
