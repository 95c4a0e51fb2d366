// Package utp stands in for the uTP transport that the torrent engine names in
// its imports. Handful speaks TCP only, so every constructor here reports
// [ErrNoTransport] and the engine is always configured with uTP off.
//
// The module exists because the real one is not served by the module proxy;
// go.mod points at it with a replace directive. It holds just the names that the
// engine refers to, so that the engine compiles.
package utp

import (
	"context"
	"errors"
	"log/slog"
	"net"
)

// Default names the implementation in the engine's error texts.
const Default = "none"

// ErrNoTransport is what every constructor of this package returns.
var ErrNoTransport = errors.New("uTP is not built in")

// FirewallCallback decides whether an incoming uTP connection is refused.
type FirewallCallback func(net.Addr) bool

// Option is accepted and ignored: there is no socket to apply it to.
type Option func()

// WithLogger is accepted and ignored.
func WithLogger(*slog.Logger) Option { return func() {} }

// Socket is what the engine would use if there were one.
type Socket interface {
	net.PacketConn
	Accept() (net.Conn, error)
	Addr() net.Addr
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	SetFirewallCallback(FirewallCallback)
}

// NewSocket always fails with [ErrNoTransport].
func NewSocket(network, addr string, opts ...Option) (Socket, error) {
	return nil, ErrNoTransport
}

// NewSocketFromPacketConn always fails with [ErrNoTransport]; pc stays the caller's.
func NewSocketFromPacketConn(pc net.PacketConn, opts ...Option) (Socket, error) {
	return nil, ErrNoTransport
}
