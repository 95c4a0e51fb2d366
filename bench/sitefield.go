package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"handful/bench/netns"
)

// sitedField gives each client a host, in sites of hosts sites[k] each, client 0 first. Every site has a prefix of its
// own, 10.66.K.0/24, so that its hosts know each other for near by their addresses; link shapes each site's link both ways.
func sitedField(ctx context.Context, sites []int, host line, link int64) (*field, error) {
	network, err := netns.New(ctx)
	if err != nil {
		return nil, err
	}
	f := &field{network: network}
	for k, hosts := range sites {
		prefix := func(last int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 66, byte(1 + k), byte(last)}), 24)
		}
		site, err := network.Site(ctx, netns.SiteOptions{Addr: prefix(1), Link: netns.Shape{Rate: link}})
		if err != nil {
			return nil, f.fail(fmt.Errorf("make site %d: %w", k+1, err))
		}
		f.sites = append(f.sites, site)
		for i := range hosts {
			addr := prefix(2 + i)
			h, err := site.Host(ctx, netns.HostOptions{Addr: addr, Up: netns.Shape{Rate: host.up}, Down: netns.Shape{Rate: host.down}})
			if err != nil {
				return nil, f.fail(fmt.Errorf("make host %d of site %d: %w", i+1, k+1, err))
			}
			f.clients = append(f.clients, netip.AddrPortFrom(addr.Addr(), port(len(f.hosts))))
			f.hosts = append(f.hosts, h)
		}
	}
	return f, nil
}

// carriedByLinks reads what each site's link carried so far, into the site and out of it.
func (f *field) carriedByLinks(ctx context.Context) (in, out []netns.Qdisc, err error) {
	for _, s := range f.sites {
		i, o, err := s.Carried(ctx)
		if err != nil {
			return nil, nil, err
		}
		in, out = append(in, i), append(out, o)
	}
	return in, out, nil
}

// listenInEach listens under one address in all sites: who connects uses no site's link.
func listenInEach(sites []*netns.Site) (net.Listener, error) {
	d := &doors{came: make(chan net.Conn), closed: make(chan struct{})}
	var port uint16
	for _, s := range sites {
		l, err := s.Listen(port)
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		d.all = append(d.all, l)
		port = l.Addr().(*net.TCPAddr).AddrPort().Port()
		go d.watch(l)
	}
	return d, nil
}

// doors is one listener made of several with the same address, in different namespaces.
type doors struct {
	all    []net.Listener
	came   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (d *doors) watch(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // it is closed
		}
		select {
		case d.came <- c:
		case <-d.closed:
			c.Close()
			return
		}
	}
}

// Accept implements net.Listener.
func (d *doors) Accept() (net.Conn, error) {
	select {
	case c := <-d.came:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (d *doors) Addr() net.Addr { return d.all[0].Addr() }

// Close implements net.Listener.
func (d *doors) Close() error {
	var errs []error
	d.once.Do(func() {
		close(d.closed)
		for _, l := range d.all {
			errs = append(errs, l.Close())
		}
	})
	return errors.Join(errs...)
}
