package console

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// ErrNoHolder says that no node answers for a state directory.
var ErrNoHolder = errors.New("no running node answers")

// Gone is the error of a command whose node stopped before the command was done:
// it is to be run again, with Args if there are any.
type Gone struct{ Args []string }

func (g *Gone) Error() string { return "the node that ran this command has stopped" }

// stopGrace is how long a node has to end a command that was interrupted.
const stopGrace = 10 * time.Second

// Forward hands a command to the node that holds a state directory, streams its
// output, and returns its exit code. When ctx ends the command is interrupted and
// its code awaited. Stdin is read only if the command reads it. ErrNoHolder:
// nobody holds the directory, or nobody that listens.
func Forward(ctx context.Context, dir string, q Request, stdin io.Reader, stdout, stderr io.Writer) (ExitCode, error) {
	holder, err := readRecord(dir)
	if err != nil {
		return Failed, err
	}
	if holder.Protocol != ControlProtocol {
		return Failed, protocolFault(holder.PID, fmt.Errorf("the running node speaks version %d of the control protocol, this command version %d", holder.Protocol, ControlProtocol))
	}
	c, err := dialControl(ctx, dir, holder.Address)
	if err != nil {
		return Failed, err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	out := &frameWriter{w: c}
	if refused, err := handOver(ctx, c, in, out, q); err != nil || refused != "" {
		switch {
		case ctx.Err() != nil:
			return Failed, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Failed, silentFault(holder.PID, err)
		case err != nil && Code(err) == Usage:
			return Failed, err
		case err != nil:
			return Failed, lostFault(holder.PID, err)
		}
		return Failed, protocolFault(holder.PID, errors.New(refused))
	}
	defer context.AfterFunc(ctx, func() {
		stop, ok := errors.AsType[*Stop](context.Cause(ctx))
		if !ok {
			stop = &Stop{Interrupted}
		}
		c.SetDeadline(time.Now().Add(stopGrace))
		out.frame(frameStop, []byte(stop.Error()))
	})()

	results := &stickyWriter{w: stdout}
	x, err := stream(in, func() { go pump(out, stdin) }, results, stderr)
	switch {
	case results.err != nil:
		return Failed, fmt.Errorf("write to stdout: %w", results.err)
	case err != nil && ctx.Err() != nil:
		return Failed, context.Cause(ctx)
	case err != nil:
		return Failed, lostFault(holder.PID, err)
	case x.gone && ctx.Err() != nil:
		return Failed, context.Cause(ctx)
	case x.gone:
		return Failed, &Gone{x.args}
	}
	return x.code, nil
}

// handOver sends the request and waits until the node accepts it, which it does at
// once: a node that is stopped, or hangs, must not hang others.
func handOver(ctx context.Context, c net.Conn, in io.Reader, out *frameWriter, q Request) (refused string, err error) {
	payload := q.append(nil)
	if len(payload) > maxRequest {
		return "", Usagef("name fewer paths, or their directory", "the command line is too long to hand over: %s", Bytes(int64(len(payload))))
	}
	c.SetDeadline(time.Now().Add(requestTimeout))
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
	defer func() {
		if stop() {
			c.SetDeadline(time.Time{})
		}
	}()
	if err := out.frame(frameRequest, payload); err != nil {
		return "", err
	}
	kind, payload, err := readFrame(in)
	switch {
	case err != nil:
		return "", err
	case kind == frameAccept:
		return "", nil
	case kind == frameExit:
		x, err := parseExit(payload)
		return cmp.Or(x.refused, "it ended before it began"), err
	}
	return "", fmt.Errorf("%w: a frame %q before the request was accepted", errFrame, kind)
}

// stream copies output until the exit frame.
func stream(in io.Reader, need func(), stdout, stderr io.Writer) (exit, error) {
	for {
		kind, payload, err := readFrame(in)
		if err != nil {
			return exit{}, err
		}
		switch kind {
		case frameStdout:
			if _, err := stdout.Write(payload); err != nil {
				return exit{}, err
			}
		case frameStderr:
			stderr.Write(payload)
		case frameNeed:
			need()
		case frameExit:
			return parseExit(payload)
		default:
			return exit{}, fmt.Errorf("%w: a frame %q from a node", errFrame, kind)
		}
	}
}

// stickyWriter remembers that its reader is gone.
type stickyWriter struct {
	w   io.Writer
	err error
}

func (s *stickyWriter) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.err = cmp.Or(s.err, err)
	return n, err
}

// pump sends stdin until its end. It outlives the command when stdin never ends;
// the process ends then anyway.
func pump(out *frameWriter, stdin io.Reader) {
	if stdin != nil {
		io.Copy(out.stream(frameStdin), stdin)
	}
	out.frame(frameEOF, nil)
}

func protocolFault(pid int, err error) error {
	return &Fault{Code: Locked, Message: fmt.Sprintf("the node that holds the state directory (pid %d) refuses this command", pid),
		Hint: "if it is of another release, stop it and start it again; or give this command its own --state-dir", Err: err}
}

func silentFault(pid int, err error) error {
	return &Fault{Code: Locked, Message: fmt.Sprintf("the node that holds the state directory (pid %d) does not answer", pid),
		Hint: "if it was suspended let it go on (fg, or kill -CONT), or stop it; or give this command its own --state-dir", Err: err}
}

func lostFault(pid int, err error) error {
	return &Fault{Code: Failed, Message: fmt.Sprintf("the node that ran this command (pid %d) has ended without an answer", pid),
		Hint: "run the command again: what was done before is kept", Err: err}
}
