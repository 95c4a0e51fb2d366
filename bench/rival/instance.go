package rival

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"handful/bench/netns"
)

// An Instance is one running program. Its methods may be called from several goroutines.
type Instance struct {
	name string
	work string
	cmd  *exec.Cmd

	ready  chan struct{} // closed when it takes connections (a seed: with everything checked)
	done   chan struct{} // closed when it has everything
	exited chan struct{} // closed after Wait returned; exitErr, cmd.ProcessState are set before

	stop    context.CancelFunc
	exitErr error
	usage   *meter

	mu      sync.Mutex // guards what follows
	doneAt  time.Time
	failure error // what the program itself called an error
	stats   Stats
	tiers   map[string]int64
	link    string
	torrent string
	isReady bool
	isDone  bool
}

// Stats are a program's own counters, as far as it tells; a field below 0 is not told.
type Stats struct {
	Received int64 // payload bytes from peers, useful or not
	Wasted   int64 // of it: received twice or thrown away
	Uploaded int64 // payload bytes to peers
	Host     int64 // Handful alone: received from nodes of the same machine id
}

// event is what a driver makes of one line of output.
type event struct {
	ready, done   bool
	failure       error
	stats         *Stats
	tiers         map[string]int64
	link, torrent string
}

// program says how to run a client and how to understand it.
type program struct {
	name string
	args []string
	env  []string
	// parse understands a line of standard output, "" and false for lines of no interest.
	parse func(line string) (event, bool)
	// parseLog understands a line of standard error, for programs that tell of readiness only there.
	parseLog func(line string) (event, bool)
	// pipe, if not "", is a named pipe made at this path before the start; its lines go to parse.
	pipe string
	// readyAtStart: there is no way to know; it is taken for ready as soon as it runs.
	readyAtStart bool
	// exitIsDone: exit status 0 means complete.
	exitIsDone bool
	// grace after the terminating signal before it is killed.
	grace time.Duration
}

// start runs p in the job's namespace. Both outputs go to Work/log as well.
func start(ctx context.Context, j Job, p program) (*Instance, error) {
	// A program that is started again in the same place goes on in the same log.
	log, err := os.OpenFile(filepath.Join(j.Work, "log"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close()
	ctx, cancel := context.WithCancel(ctx)
	in := &Instance{
		name: p.name, work: j.Work, stop: cancel,
		ready: make(chan struct{}), done: make(chan struct{}), exited: make(chan struct{}),
		stats: Stats{Received: -1, Wasted: -1, Uploaded: -1, Host: -1},
	}
	var pipe *os.File
	if p.pipe != "" {
		if pipe, err = makePipe(p.pipe); err != nil {
			cancel()
			return nil, fmt.Errorf("start %s: %w", p.name, err)
		}
	}
	in.cmd = exec.CommandContext(ctx, p.args[0], p.args[1:]...)
	in.cmd.Dir = j.Work
	in.cmd.Env = slices.Concat(os.Environ(), p.env, j.Env)
	in.cmd.WaitDelay = 10 * time.Second
	if p.grace > 0 {
		in.cmd.WaitDelay = p.grace
	}
	ownGroup(in.cmd)
	in.cmd.Stdout = &lines{log: log.Name(), sink: in.sink(p.parse)}
	in.cmd.Stderr = &lines{log: log.Name(), sink: in.sink(p.parseLog)}
	if err := netns.Start(j.Namespace, in.cmd); err != nil {
		cancel()
		if pipe != nil {
			pipe.Close()
		}
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	in.usage = newMeter(in.cmd.Process.Pid, in.exited, sampleEvery)
	if pipe != nil {
		go readPipe(pipe, in.sink(p.parse))
	}
	if p.readyAtStart {
		in.take(event{ready: true})
	}
	go in.reap(p, pipe)
	return in, nil
}

// reap waits for the program's end.
func (in *Instance) reap(p program, pipe *os.File) {
	err := in.cmd.Wait()
	killGroup(in.cmd)
	if pipe != nil {
		pipe.Close()
	}
	in.exitErr = err
	if err == nil && p.exitIsDone {
		in.take(event{done: true})
	}
	close(in.exited)
}

func (in *Instance) sink(parse func(string) (event, bool)) func(string) {
	return func(line string) {
		if parse == nil {
			return
		}
		if e, ok := parse(line); ok {
			in.take(e)
		}
	}
}

// take applies an event.
func (in *Instance) take(e event) {
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	if e.failure != nil && in.failure == nil {
		in.failure = e.failure
	}
	if e.stats != nil {
		in.stats = *e.stats
	}
	if e.tiers != nil {
		in.tiers = e.tiers
	}
	if e.link != "" {
		in.link = e.link
	}
	if e.torrent != "" {
		in.torrent = e.torrent
	}
	if (e.ready || e.done) && !in.isReady {
		in.isReady = true
		close(in.ready)
	}
	if e.done && !in.isDone {
		in.isDone, in.doneAt = true, now
		close(in.done)
	}
}

// Ready waits until the instance takes connections; a seed has then checked its files.
func (in *Instance) Ready(ctx context.Context) error { return in.await(ctx, in.ready, "ready") }

// Wait waits until the instance has everything. If it ends before, the error carries the end of its log.
func (in *Instance) Wait(ctx context.Context) error { return in.await(ctx, in.done, "complete") }

func (in *Instance) await(ctx context.Context, what <-chan struct{}, word string) error {
	select {
	case <-what:
		return nil
	default:
	}
	select {
	case <-what:
		return nil
	case <-in.exited:
		select {
		case <-what: // its last line
			return nil
		default:
		}
		return fmt.Errorf("%s ended before it was %s: %w%s", in.name, word, in.whyEnded(), in.tail())
	case <-ctx.Done():
		return fmt.Errorf("%s was not %s: %w%s", in.name, word, context.Cause(ctx), in.tail())
	}
}

func (in *Instance) whyEnded() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.exitErr == nil {
		return errors.Join(in.failure, errors.New("exit status 0"))
	}
	return errors.Join(in.failure, in.exitErr)
}

// Exited is closed when the program has ended.
func (in *Instance) Exited() <-chan struct{} { return in.exited }

// ExitCode of the ended program; -1 while it runs, or when a signal ended it.
func (in *Instance) ExitCode() int {
	select {
	case <-in.exited:
		return in.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Stop ends the program in an orderly way, by force if it takes longer than a few seconds, and waits until it is gone.
func (in *Instance) Stop() {
	in.stop()
	<-in.exited
}

// Kill ends the program at once, as a power cut would, and waits until it is gone.
func (in *Instance) Kill() {
	killGroup(in.cmd)
	<-in.exited
}

// Abort ends the program by the signal upon which a Go program writes to its log what each goroutine does, and waits until
// it is gone; by force if it does not obey.
func (in *Instance) Abort() {
	abortProcess(in.cmd.Process)
	select {
	case <-in.exited:
	case <-time.After(5 * time.Second):
		in.Kill()
	}
}

// DoneAt is when it was complete; zero before.
func (in *Instance) DoneAt() time.Time {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.doneAt
}

// Stats are the program's own counters, last told: most tell at completion and once more when stopped.
func (in *Instance) Stats() Stats {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.stats
}

// Tiers are the bytes that Handful's leecher received, by tier ("link", "origin", …); nil for others. Nobody may write to it.
func (in *Instance) Tiers() map[string]int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.tiers
}

// Link is what Handful's seed published, and Torrent the path of the metainfo that it wrote; "" for others.
func (in *Instance) Link() (link, torrent string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.link, in.torrent
}

// Usage is what the program used so far, or in all once it has ended.
func (in *Instance) Usage() Usage {
	select {
	case <-in.exited:
		return in.usage.final(in.cmd.ProcessState)
	default:
		return in.usage.now()
	}
}

// LogTail returns the last lines that the program printed.
func (in *Instance) LogTail(n int) string {
	b, err := os.ReadFile(filepath.Join(in.work, "log"))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

func (in *Instance) tail() string { return "\n  its log ends:\n" + in.LogTail(12) }

// lines passes whole lines on and appends everything to a log file. One goroutine writes to it.
type lines struct {
	log  string
	sink func(string)
	part []byte
}

// maxLine bounds a line that is kept; a client that prints more without a newline is not understood anyway.
const maxLine = 1 << 20

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	if f, err := os.OpenFile(l.log, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644); err == nil {
		f.Write(p) // a full disk must not end the client
		f.Close()
	}
	l.part = append(l.part, p...)
	for {
		line, rest, ok := strings.Cut(string(l.part), "\n")
		if !ok {
			if len(l.part) > maxLine {
				l.part = nil
			}
			return len(p), nil
		}
		l.sink(strings.TrimRight(line, "\r"))
		l.part = []byte(rest)
	}
}

func readPipe(r io.Reader, sink func(string)) {
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		sink(sc.Text())
	}
}

// hook writes a shell script that puts word into the pipe: what a client runs when it is complete.
func hook(path, pipe, word string) error {
	script := fmt.Sprintf("#!/bin/sh\necho %s > '%s'\n", word, strings.ReplaceAll(pipe, "'", `'\''`))
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		return fmt.Errorf("write hook: %w", err)
	}
	return nil
}

// parseHook understands the words that hooks put into the pipe.
func parseHook(line string) (event, bool) {
	switch line {
	case "ready":
		return event{ready: true}, true
	case "done":
		return event{done: true}, true
	}
	return event{}, false
}
