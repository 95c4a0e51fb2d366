package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"handful/swarm/feed"
)

const (
	plainInterval = 30 * time.Second       // one progress line without a terminal
	jsonInterval  = time.Second            // one progress object
	paintInterval = 100 * time.Millisecond // one frame of the bars
)

// A Printer shows lines to whoever reads them. All methods may be called from
// several goroutines. A reader that does not read makes Print wait, so call it
// from the command's own goroutine, never from the node's owner loop.
type Printer interface {
	// Print shows a line.
	Print(Line)
	// Write takes whole lines of log text for stderr, and prints them above the
	// bars.
	io.Writer
	// Close clears the bars. It returns the first error of writing a result: a
	// result that nobody got is a failure.
	Close() error
}

// PrinterOptions choose how a Printer shows its lines.
type PrinterOptions struct {
	JSON  bool
	Quiet bool // results, warnings and errors only
}

// NewPrinter returns the printer for an environment.
func NewPrinter(env *Env, o PrinterOptions) Printer {
	if o.JSON {
		return &jsonPrinter{env: env, quiet: o.Quiet}
	}
	p := &textPrinter{env: env, quiet: o.Quiet}
	if barsFit(env) && !o.Quiet {
		p.bars = &painter{out: env.Stderr, width: env.Width}
	}
	return p
}

func barsFit(env *Env) bool { return env.Width() > 20 && env.Get("TERM") != "dumb" }

// jsonPrinter prints JSON Lines on stdout and logs on stderr.
type jsonPrinter struct {
	env   *Env
	quiet bool

	mu     sync.Mutex // guards what follows, and keeps lines whole
	last   Progress   // the last progress printed
	lastAt time.Time  // when; zero before the first
	err    error      // first failed write
}

func (p *jsonPrinter) Print(l Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch l := l.(type) {
	case Progress:
		if p.quiet || !p.due(l) {
			return
		}
	case Note:
		if p.quiet {
			return
		}
	}
	b, err := Encode(l)
	if err == nil {
		_, err = p.env.Stdout.Write(b)
	}
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("write %q line to stdout: %w", l.Type(), err)
	}
}

// due thins out progress: one a second, and the one that completes a stage.
func (p *jsonPrinter) due(l Progress) bool {
	now := p.env.Now()
	finished := l.Total > 0 && l.Done == l.Total && (p.last.Done != l.Done || p.last.Stage != l.Stage)
	if !p.lastAt.IsZero() && p.last.Stage == l.Stage && now.Sub(p.lastAt) < jsonInterval && !finished {
		return false
	}
	p.last, p.lastAt = l, now
	return true
}

func (p *jsonPrinter) Write(b []byte) (int, error) { return p.env.Stderr.Write(b) }

func (p *jsonPrinter) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Encode returns a line as one JSON object with "type" first and a line break at
// the end. Links stay readable: & < > are not escaped. What shows nothing, or turns the
// direction of writing, is.
func Encode(l Line) ([]byte, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return nil, fmt.Errorf("encode %q line: %w", l.Type(), err)
	}
	rest := bytes.TrimPrefix(body.Bytes(), []byte("{"))
	out := fmt.Appendf(nil, `{"type":%q`, l.Type())
	if !bytes.HasPrefix(rest, []byte("}")) {
		out = append(out, ',')
	}
	return append(feed.EscapeJSON(append(out, bytes.TrimSuffix(rest, []byte("\n"))...)), '\n'), nil
}

// textPrinter prints for people.
type textPrinter struct {
	env   *Env
	quiet bool

	mu        sync.Mutex // guards what follows, and keeps lines whole
	bars      *painter   // nil without a terminal
	lastPlain time.Time  // when the last plain progress line was printed, or the first was held back
	lastFrame time.Time
	err       error // first failed write of a result
}

func (p *textPrinter) Print(l Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if progress, ok := l.(Progress); ok {
		p.progress(progress)
		return
	}
	result, remark := l.Show(p.env.Now())
	if _, warning := l.(Warning); warning {
		remark = p.env.Name + ": " + remark
	} else if p.quiet {
		remark = ""
	}
	if remark != "" {
		p.above(func() { io.WriteString(p.env.Stderr, remark+"\n") })
	}
	if result != "" {
		p.above(func() {
			if _, err := io.WriteString(p.env.Stdout, result+"\n"); err != nil && p.err == nil {
				p.err = fmt.Errorf("write %q line to stdout: %w", l.Type(), err)
			}
		})
	}
	if _, done := l.(Done); done && p.bars != nil {
		p.bars.clear()
		p.bars.forget()
	}
}

// progress draws a frame, or prints a plain line every 30 s.
func (p *textPrinter) progress(l Progress) {
	if p.quiet {
		return
	}
	now := p.env.Now()
	if p.bars != nil {
		if l.Done != l.Total && now.Sub(p.lastFrame) < paintInterval {
			return
		}
		p.lastFrame = now
		p.bars.paint(l)
		return
	}
	if p.lastPlain.IsZero() {
		p.lastPlain = now
	}
	if now.Sub(p.lastPlain) < plainInterval {
		return
	}
	p.lastPlain = now
	_, remark := l.Show(now)
	io.WriteString(p.env.Stderr, remark+"\n")
}

// above runs write with the bars out of the way.
func (p *textPrinter) above(write func()) {
	if p.bars == nil {
		write()
		return
	}
	p.bars.clear()
	write()
	p.bars.repaint()
}

func (p *textPrinter) Write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.above(func() { n, err = p.env.Stderr.Write(b) })
	return n, err
}

func (p *textPrinter) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars != nil {
		p.bars.clear()
		p.bars.forget()
	}
	return p.err
}
