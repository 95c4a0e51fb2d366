package console

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cheggaaa/pb/v3"
)

const (
	maxFileBars = 5
	wide        = 72 // columns from which rate and ETA fit beside a bar
)

const (
	totalTemplate pb.ProgressBarTemplate = `{{string . "name"}}  {{counters .}} {{bar .}} {{percent . "%.1f%%"}}{{string . "rate"}}`
	fileTemplate  pb.ProgressBarTemplate = `  {{string . "name"}}  {{counters .}} {{bar .}} {{percent . "%.0f%%"}}`
)

// painter draws one bar for the total and at most five for files at the bottom
// of a terminal, over its last frame. The text of a bar is pb's; the cursor is
// ours, so that log lines can go above and nothing is left at the end. It has no
// goroutine and no clock; textPrinter's mutex guards it.
type painter struct {
	out   io.Writer
	width func() int // asked for every frame: terminals are resized

	frame []string // what is or would be on the screen; nil: nothing
	drawn int      // how many lines of it are on the screen now
}

// paint replaces the frame.
func (p *painter) paint(l Progress) {
	p.clear()
	p.frame = render(l, p.width())
	p.repaint()
}

// repaint draws the frame under the cursor.
func (p *painter) repaint() {
	if len(p.frame) == 0 {
		return
	}
	io.WriteString(p.out, strings.Join(p.frame, "\n")+"\n")
	p.drawn = len(p.frame)
}

// clear wipes the frame off the screen and puts the cursor where it began.
func (p *painter) clear() {
	if p.drawn == 0 {
		return
	}
	fmt.Fprintf(p.out, "\x1b[%dA\r\x1b[J", p.drawn)
	p.drawn = 0
}

// forget drops the frame: repaint draws nothing until the next paint.
func (p *painter) forget() { p.frame = nil }

// render returns the lines of a frame, each narrower than width columns.
func render(l Progress, width int) []string {
	width-- // the last column would wrap on some terminals
	name := l.Name
	if name == "" || l.Stage != "" {
		name = strings.TrimSpace(stageName(l.Stage) + " " + l.Name)
	}
	rate := ""
	if width >= wide {
		rate = rates(l)
	}
	lines := []string{bar(totalTemplate, name, l.Done, l.Total, rate, width)}
	files := l.Files[:min(len(l.Files), maxFileBars)]
	for _, f := range files {
		lines = append(lines, bar(fileTemplate, f.Name, f.Done, f.Total, "", width))
	}
	if more := l.MoreFiles + len(l.Files) - len(files); more > 0 {
		lines = append(lines, pb.StripString(fmt.Sprintf("  and %d more", more), width))
	}
	return lines
}

func rates(l Progress) string {
	var b strings.Builder
	if l.DownRate > 0 || l.Stage == "" {
		b.WriteString("  " + Speed(l.DownRate))
	}
	if left := l.Total - l.Done; left > 0 && l.DownRate > 0 {
		// Longer than about 100 days is no forecast.
		if s := left / l.DownRate; s < 100*86400 {
			b.WriteString("  ETA " + Span(time.Duration(s)*time.Second))
		}
	}
	if l.UpRate > 0 {
		b.WriteString("  up " + Speed(l.UpRate))
	}
	if l.Stage == "" {
		b.WriteString("  " + count(l.Peers, "peer"))
	}
	return b.String()
}

// bar renders one bar. A Static bar starts no goroutine and writes nothing.
func bar(t pb.ProgressBarTemplate, name string, done, total int64, rate string, width int) string {
	b := pb.New64(total).SetWriter(io.Discard).SetTemplate(t).Set(pb.Static, true).Set(pb.Bytes, true).
		Set("name", shorten(Clean(name), max(8, width/3))).Set("rate", rate).
		SetMaxWidth(width).SetWidth(width).SetCurrent(done).Start()
	return pb.StripString(strings.TrimRight(b.String(), " "), width)
}

// shorten cuts the middle out of a name that is wider than n columns: both the
// beginning and the extension tell files apart.
func shorten(s string, n int) string {
	if pb.CellCount(s) <= n {
		return s
	}
	r := []rune(s)
	for keep := min(len(r)-1, n-1); keep > 1; keep-- {
		head := keep / 2
		short := string(r[:head]) + "…" + string(r[len(r)-(keep-head):])
		if pb.CellCount(short) <= n {
			return short
		}
	}
	return "…"
}
