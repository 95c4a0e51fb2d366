package tracker

import (
	"bytes"
	"errors"
	"hash/maphash"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"handful/manifest/bencode"
)

// About is the line that GET / is answered with.
const About = "A BitTorrent tracker for the torrents that this node publishes: announce at /announce, scrape at /scrape.\n"

// Times and sizes that HTTPServer allows a stranger.
const (
	headerTimeout = 5 * time.Second
	requestTime   = 15 * time.Second
	idleTime      = 15 * time.Second
	maxHeader     = 8 << 10 // bytes; net/http adds 4 KiB of its own
)

// retryMinutes is what BEP 31's "retry in" says to those who announce too fast.
const retryMinutes = 1

// ServeHTTP answers announces at any path that ends in /announce, scrapes at any
// that ends in /scrape (BEP 48 replaces the one by the other), and / with About.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/announce"):
		s.HandleAnnounce(w, r)
	case strings.HasSuffix(path, "/scrape"):
		s.HandleScrape(w, r)
	case path == "/":
		HandleAbout(w, r)
	default:
		http.NotFound(w, r)
	}
}

// Mount registers announce and scrape with mux, which keeps "/" for the caller: its
// own page, or HandleAbout at "GET /{$}".
func (s *Server) Mount(mux *http.ServeMux) {
	mux.HandleFunc("/announce", s.HandleAnnounce)
	mux.HandleFunc("/scrape", s.HandleScrape)
}

// HTTPServer returns a server for h with bounds on the time and the size of a
// request that suit strangers: 15 s in all, 8 KiB of header (and query). It does
// not bound the number of connections: that is the listener's part. A handler that
// sends for longer extends its own deadline through http.ResponseController.
func HTTPServer(h http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  requestTime,
		WriteTimeout:                 requestTime,
		IdleTimeout:                  idleTime,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		// What strangers send is no news: debug.
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// HandleAbout answers with one line that says what this is.
func HandleAbout(w http.ResponseWriter, r *http.Request) {
	if !plainGet(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, About)
}

// plainGet refuses other methods, and a request with a body, which it does not read.
func plainGet(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if !slices.Contains(methods, r.Method) {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		w.Header().Set("Connection", "close")
		http.Error(w, "only "+strings.Join(methods, " and ")+" are answered here", http.StatusMethodNotAllowed)
		return false
	}
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
		http.Error(w, "a request here has no body", http.StatusRequestEntityTooLarge)
		return false
	}
	return true
}

// HandleAnnounce answers one announce (BEP 3). A failure is told in the answer's
// "failure reason", with status 200, as clients expect it.
func (s *Server) HandleAnnounce(w http.ResponseWriter, r *http.Request) {
	from, ok := s.enter(w, r)
	if !ok {
		return
	}
	p, err := parseAnnounce(r.URL.RawQuery)
	if err != nil {
		s.refuse()
		s.fail(w, r, err)
		return
	}
	q := &request{
		infohash: p.infohash, peerID: p.peerID, port: p.port, event: p.event, seed: p.seed,
		numWant: p.numWant, claims: p.claims, from: from, local: localOf(r),
	}
	if p.key != "" {
		q.key = maphash.String(s.keySeed, p.key)
	}
	a, err := s.announce(q)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.reply(w, s.encodeAnnounce(&p, &a))
}

// HandleScrape answers one scrape (BEP 48). Infohashes that are not served are left
// out of the answer.
func (s *Server) HandleScrape(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.enter(w, r); !ok {
		return
	}
	hashes, err := parseScrape(r.URL.RawQuery)
	if err != nil {
		s.refuse()
		s.fail(w, r, err)
		return
	}
	slices.SortFunc(hashes, func(a, b [20]byte) int { return bytes.Compare(a[:], b[:]) })
	b := []byte("d5:filesd")
	for _, h := range hashes {
		c, ok := s.scrape(h, localOf(r))
		if !ok {
			continue
		}
		b = bencode.AppendString(b, h[:])
		b = append(b, 'd')
		b = appendField(b, "complete", c.Complete)
		b = appendField(b, "downloaded", c.Downloaded)
		b = appendField(b, "incomplete", c.Incomplete)
		b = append(b, 'e')
	}
	b = append(b, "e5:flagsd"...)
	b = appendField(b, "min_request_interval", s.minInterval())
	b = append(b, "ee"...)
	s.scraped()
	s.reply(w, b)
}

func (s *Server) scraped() {
	s.mu.Lock()
	s.stats.Scrapes++
	s.mu.Unlock()
}

// enter judges what can be judged before the query is read. It has answered when
// it is false.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) (from netip.Addr, ok bool) {
	if !plainGet(w, r, http.MethodGet) {
		return from, false
	}
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		// Only a listener of ours that is no TCP socket can bring this about.
		s.cfg.Logger.Error("tracker: request from no IP address", "remote", r.RemoteAddr)
		http.Error(w, "the tracker cannot see your address", http.StatusInternalServerError)
		return from, false
	}
	from = plain(ap.Addr())
	if !s.admit(from) {
		s.fail(w, r, errTooFast)
		return from, false
	}
	return from, true
}

// localOf is the address that a request reached, invalid if unknown.
func localOf(r *http.Request) netip.Addr {
	a, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return addrOf(a).Addr()
}

// addrOf reads the address and port of a, without zone; invalid if it has none.
func addrOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case nil:
		return netip.AddrPort{}
	case *net.UDPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(plain(ap.Addr()), ap.Port())
	case *net.TCPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(plain(ap.Addr()), ap.Port())
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(plain(ap.Addr()), ap.Port())
}

// reply sends an answer and ends the connection: the next announce is minutes away.
func (s *Server) reply(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/plain")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Connection", "close")
	_, _ = w.Write(body) // the asker may be gone
}

// fail sends a failure.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.cfg.Logger.Debug("tracker: refused", "remote", r.RemoteAddr, "path", r.URL.Path, "reason", err)
	b := []byte{'d'}
	b = bencode.AppendString(b, "failure reason")
	b = bencode.AppendString(b, err.Error())
	if errors.Is(err, errTooFast) {
		b = appendField(b, "retry in", retryMinutes)
	}
	s.reply(w, append(b, 'e'))
}

func appendField(b []byte, key string, n int) []byte {
	return bencode.AppendInt(bencode.AppendString(b, key), int64(n))
}

func (s *Server) interval() int { return int(s.cfg.Interval / time.Second) }

// minInterval is how soon a client may ask again if it wants more peers, in seconds.
func (s *Server) minInterval() int { return min(s.interval(), 60) }

// encodeAnnounce writes the answer with its keys in ascending order.
func (s *Server) encodeAnnounce(p *announceQuery, a *answer) []byte {
	b := []byte{'d'}
	b = appendField(b, "complete", a.counts.Complete)
	b = appendField(b, "downloaded", a.counts.Downloaded)
	b = appendField(b, "incomplete", a.counts.Incomplete)
	b = appendField(b, "interval", s.interval())
	b = appendField(b, "min interval", s.minInterval())
	b = bencode.AppendString(b, "peers")
	if p.full {
		b = appendPeers(b, a.peers, !p.noPeerID)
	} else {
		var v4, v6 []byte
		for _, h := range a.peers {
			if h.addr.Addr().Is4() {
				v4 = appendCompact(v4, h.addr)
			} else {
				v6 = appendCompact(v6, h.addr)
			}
		}
		b = bencode.AppendString(b, v4)
		if len(v6) > 0 {
			b = bencode.AppendString(b, "peers6")
			b = bencode.AppendString(b, v6)
		}
	}
	if a.warning != "" {
		b = bencode.AppendString(b, "warning message")
		b = bencode.AppendString(b, a.warning)
	}
	return append(b, 'e')
}

// appendPeers writes the list of dictionaries of BEP 3. The origin's own peer id is
// not known here, so it is left out: a client would drop a peer whose id differs.
func appendPeers(b []byte, peers []handed, ids bool) []byte {
	b = append(b, 'l')
	for _, h := range peers {
		b = append(b, 'd')
		b = bencode.AppendString(b, "ip")
		b = bencode.AppendString(b, h.addr.Addr().String())
		if ids && h.hasID {
			b = bencode.AppendString(b, "peer id")
			b = bencode.AppendString(b, h.id[:])
		}
		b = appendField(b, "port", int(h.addr.Port()))
		b = append(b, 'e')
	}
	return append(b, 'e')
}

// appendCompact writes the 6 or 18 bytes of an address and port, big-endian.
func appendCompact(b []byte, a netip.AddrPort) []byte {
	b = append(b, a.Addr().AsSlice()...)
	return append(b, byte(a.Port()>>8), byte(a.Port()))
}
