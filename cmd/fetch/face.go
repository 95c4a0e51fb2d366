package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"handful/signing"
	"handful/swarm/console"
	"handful/swarm/feed"
)

// firstFace is where feed readers are answered if nothing else is said.
const firstFace = "127.0.0.1:6880"

// Bounds of the HTTP face.
const (
	faceHeader  = 16 << 10
	faceTimeout = 10 * time.Second
	faceConns   = 256
)

// faceRequest says where feed readers are answered.
type faceRequest struct {
	Addr  string   // HOST:PORT; "": firstFace, else any port; "off": nowhere
	Names []string // that Host headers may have beside addresses and localhost
}

// Show answers feed readers until ctx ends. It returns where, and what ends it.
func (r *running) Show(ctx context.Context, req faceRequest) (url string, stop func() error, err error) {
	if req.Addr == "off" {
		return "", func() error { return nil }, nil
	}
	ln, err := listenFace(ctx, req.Addr)
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	h := feed.NewHandler(library{r}, feed.HandlerOptions{Now: r.app.Env.Now})
	srv := &http.Server{
		Handler:           feed.Guard(h, req.Names...),
		ReadHeaderTimeout: faceTimeout, ReadTimeout: faceTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes: faceHeader,
		BaseContext:    func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(&bounded{Listener: ln, free: make(chan struct{}, faceConns)}) }()
	return "http://" + ln.Addr().String() + "/feeds.opml", func() error {
		cancel() // event streams end by it
		err := srv.Close()
		if e := <-done; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}

func listenFace(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", cmp.Or(addr, firstFace))
	if err != nil && addr == "" {
		ln, err = lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, &console.Fault{Code: console.Failed, Message: "listen for feed readers on " + cmp.Or(addr, firstFace), Hint: "choose another address with --http, or --http off", Err: err}
	}
	return ln, nil
}

// bounded is a listener that has at most so many connections open.
type bounded struct {
	net.Listener
	free chan struct{}
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.free <- struct{}{}:
			return &counted{Conn: c, left: b.free}, nil
		default:
			c.Close()
		}
	}
}

type counted struct {
	net.Conn
	left chan struct{}
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	if err == nil { // the second Close fails
		<-c.left
	}
	return err
}

// library is what feed readers are shown: the channels that are followed.
type library struct{ r *running }

func (l library) find(id signing.ID) (*followed, error) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	if c := l.r.channels[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("channel %s is not followed", id)
}

func (l library) Channels(context.Context) (out []feed.Channel, err error) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	for id, c := range l.r.channels {
		out = append(out, feed.Channel{ID: id, Name: c.info.Name, Title: c.title()})
	}
	slices.SortFunc(out, func(a, b feed.Channel) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

func (l library) Newest(_ context.Context, id signing.ID, n int) ([]feed.Entry, error) {
	c, err := l.find(id)
	if err != nil {
		return nil, err
	}
	return c.inbox.Newest(n)
}

func (l library) Since(_ context.Context, id signing.ID, from feed.Cursor, n int) ([]feed.Entry, error) {
	c, err := l.find(id)
	if err != nil {
		return nil, err
	}
	return c.inbox.Since(from, n)
}

func (l library) Position(_ context.Context, id signing.ID) (feed.Cursor, error) {
	c, err := l.find(id)
	if err != nil {
		return nil, err
	}
	return c.inbox.Position(), nil
}

func (l library) Subscribe(id signing.ID) (<-chan struct{}, func()) {
	c, err := l.find(id)
	if err != nil {
		return nil, func() {}
	}
	return c.inbox.Subscribe()
}
