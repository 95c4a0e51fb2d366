package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"handful/swarm/mirror"
)

// webDial is how long a connection to a web server may take.
const webDial = 10 * time.Second

// newWeb makes the client for web servers. With LANOnly it connects to addresses of the
// node's own networks alone, looks up no name, and uses no proxy.
func newWeb(n *Node) *http.Client {
	dialer := &net.Dialer{Timeout: webDial}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if n.cfg.LANOnly {
				ap, err := netip.ParseAddrPort(addr)
				if err != nil {
					return nil, fmt.Errorf("%w: %s is no address, and this node keeps to its own networks", errBeyond, addr)
				}
				if !n.mayDial(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())) {
					return nil, fmt.Errorf("%w: %s", errBeyond, addr)
				}
			}
			return dialer.DialContext(ctx, network, addr)
		},
		TLSHandshakeTimeout:    webDial,
		ResponseHeaderTimeout:  mirror.Patience,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
	if n.cfg.LANOnly {
		t.Proxy = nil
	}
	return &http.Client{Transport: t}
}

// errBeyond: an address that this node does not talk to.
var errBeyond = errors.New("beyond the local networks")

// Web returns the client with which the node asks web servers; mirror.Bounded bounds it.
func (n *Node) Web() *http.Client { return n.web }
