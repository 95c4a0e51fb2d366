package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	maxRequests    = 128              // that run at one time
	requestTimeout = 10 * time.Second // for the request itself to arrive
)

// errGone cancels the commands of a node that stops.
var errGone = fmt.Errorf("the node stops: %w", context.Canceled)

// A Handler runs one command that was handed over and returns its exit code. The
// environment is complete but for Held; its streams are the client's. The context
// ends when the client interrupts or vanishes, or the node stops; in the last case
// a *Gone says that the client is to run the command again, or another instead.
type Handler func(ctx context.Context, env *Env) (ExitCode, error)

// Server is the control socket of a node.
type Server struct {
	dir      string
	name     string
	handler  Handler
	listener net.Listener
	address  string
	cancel   context.CancelCauseFunc
	running  sync.WaitGroup // the accept loop and every request
	slots    chan struct{}  // one a running request
}

// Listen opens the control socket of a state directory and serves the commands
// of the binary name. The caller holds the directory's lock: a socket that is
// there is a dead holder's and is removed.
func Listen(ctx context.Context, dir, name string, handler Handler) (*Server, error) {
	l, address, err := listenControl(dir)
	if err != nil {
		return nil, err
	}
	if err := writeRecord(dir, address); err != nil {
		l.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &Server{dir: dir, name: name, handler: handler, listener: l, address: address, cancel: cancel, slots: make(chan struct{}, maxRequests)}
	s.running.Go(func() { s.accept(ctx) })
	return s, nil
}

// Close stops listening, ends the running commands and waits for them. Their
// clients are told that the node is gone. The caller gives the lock back after
// it.
func (s *Server) Close() error {
	os.Remove(filepath.Join(s.dir, recordName))
	err := s.listener.Close() // removes the socket
	s.cancel(errGone)
	s.running.Wait()
	return err
}

func (s *Server) accept(ctx context.Context) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return
			}
			// Too many open files, or a client that was gone at once: neither
			// may end the socket.
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-ctx.Done():
				return
			}
		}
		s.running.Go(func() {
			defer c.Close()
			s.serve(ctx, c)
		})
	}
}

// serve runs the command of one connection.
func (s *Server) serve(ctx context.Context, c net.Conn) {
	if checkPeer(c) != nil {
		return
	}
	out := &frameWriter{w: c}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		out.exit(exit{code: Failed, refused: fmt.Sprintf("the running node is busy with %d commands", maxRequests)})
		return
	}
	in := bufio.NewReader(c)
	c.SetReadDeadline(time.Now().Add(requestTimeout))
	q, err := s.request(in)
	if err != nil {
		out.exit(exit{code: Failed, refused: err.Error()})
		return
	}
	c.SetReadDeadline(time.Time{})
	out.frame(frameAccept, nil)

	reqCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stdin := newPipe(func() { out.frame(frameNeed, nil) })
	go s.read(in, stdin, cancel)
	// A client that is stopped reads nothing; when the node ends, or the client
	// has gone, nobody may wait for it.
	defer context.AfterFunc(reqCtx, func() {
		stdin.end(context.Cause(reqCtx))
		c.SetWriteDeadline(time.Now().Add(requestTimeout))
	})()
	env := &Env{
		Name: q.Name, Args: q.Args, Dir: q.Dir,
		Stdin: stdin, Stdout: out.stream(frameStdout), Stderr: out.stream(frameStderr),
		Lookup: func(k string) (string, bool) { v, ok := q.Env[k]; return v, ok },
		Width:  func() int { return q.Width },
		Now:    time.Now,
	}
	code, err := s.handler(reqCtx, env)
	x := exit{code: code}
	if gone, ok := errors.AsType[*Gone](err); ok {
		x.gone, x.args = true, gone.Args
	}
	out.exit(x)
}

// request reads and checks the first frame.
func (s *Server) request(in io.Reader) (Request, error) {
	kind, payload, err := readFrame(in)
	if err != nil {
		return Request{}, err
	}
	if kind != frameRequest {
		return Request{}, fmt.Errorf("%w: a frame %q before the request", errFrame, kind)
	}
	q, err := parseRequest(payload)
	if err != nil {
		return Request{}, err
	}
	if q.Name != s.name {
		return Request{}, fmt.Errorf("the running node is of %s, not of %q", s.name, q.Name)
	}
	return q, nil
}

// read takes what the client sends after its request, until it is gone.
func (s *Server) read(in io.Reader, stdin *pipe, cancel context.CancelCauseFunc) {
	for {
		kind, payload, err := readFrame(in)
		if err != nil {
			stdin.end(io.ErrUnexpectedEOF)
			cancel(fmt.Errorf("the command's client is gone: %w", context.Canceled))
			return
		}
		switch kind {
		case frameStdin:
			stdin.put(payload)
		case frameEOF:
			stdin.end(io.EOF)
		case frameStop:
			code := Interrupted
			if string(payload) == (&Stop{Terminated}).Error() {
				code = Terminated
			}
			cancel(&Stop{code})
		default:
			stdin.end(io.ErrUnexpectedEOF)
			cancel(fmt.Errorf("%w: a frame %q from a client", errFrame, kind))
			return
		}
	}
}

// frameWriter sends whole frames from several goroutines.
type frameWriter struct {
	mu  sync.Mutex // keeps frames whole
	w   io.Writer
	err error // first failure; later frames are dropped
}

func (f *frameWriter) frame(kind byte, payload []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = writeFrame(f.w, kind, payload)
	}
	return f.err
}

func (f *frameWriter) exit(x exit) { f.frame(frameExit, x.append(nil)) }

// stream returns a writer whose bytes are sent as frames of one kind.
func (f *frameWriter) stream(kind byte) io.Writer { return streamWriter{f, kind} }

type streamWriter struct {
	f    *frameWriter
	kind byte
}

func (s streamWriter) Write(b []byte) (int, error) {
	for n := 0; n < len(b); n += maxFrame {
		if err := s.f.frame(s.kind, b[n:min(n+maxFrame, len(b))]); err != nil {
			return n, err
		}
	}
	return len(b), nil
}
