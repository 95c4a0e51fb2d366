package feed

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

const (
	maxMarks = 4 // combining marks on one character
	maxShown = 3 // of a run of invisible characters that is replaced
	maxLines = 10_000
)

// Layout is how Sanitize lays out a text.
type Layout struct {
	Width   int    // columns of the terminal; lines are wrapped there. 0: they are not
	Indent  string // before every line but the first, so that no text can pass for a line of the program
	OneLine bool   // newlines and tabs become blanks, and what is wider than Width is cut
	Max     int    // bytes that are looked at, the rest is said to be missing; 0: 64 KiB
}

// Sanitize makes text of a stranger fit for a terminal. Nothing in the result acts:
// it is valid UTF-8 without control characters but newline and tab, and without
// characters that are invisible or change the direction of others. What was replaced
// stays visible:
//
//	ESC, BEL, … NUL, DEL                  ␛ ␇ … ␀ ␡ (control pictures, U+2400)
//	a byte that is not UTF-8              �
//	C1, bidi controls, zero width, tags,
//	private and unassigned characters     <U+202E>, of a run the first three
//	more than 4 combining marks           <+37 marks>
//
// A zero width joiner or a variation selector stays where it joins: one, behind a
// character that is not ASCII. A combining mark that has nothing to stand on gets a
// dotted circle.
func Sanitize(s string, l Layout) string {
	limit := l.Max
	if limit <= 0 {
		limit = 64 << 10
	}
	missing := 0
	if len(s) > limit {
		n := limit
		for n > 0 && !utf8.RuneStart(s[n]) && limit-n < utf8.UTFMax {
			n--
		}
		s, missing = s[:n], len(s)-n
	}
	c := cleaner{oneLine: l.OneLine}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == '\r' && strings.HasPrefix(s[i+1:], "\n") {
			r, n = '\n', 2
		}
		if r == utf8.RuneError && n == 1 {
			c.replace(r, "\ufffd")
		} else {
			c.rune(r)
		}
		i += n
	}
	c.endRun()
	out := strings.TrimRight(c.b.String(), " \n\t")
	if l.OneLine {
		out = strings.TrimSpace(out)
	}
	if missing > 0 {
		out += fmt.Sprintf(" <%d bytes more>", missing)
	}
	if l.OneLine {
		return cut(out, l.Width)
	}
	return wrap(out, l)
}

// cut returns what fits into so many columns of one line.
func cut(s string, room int) string {
	used, end := 0, 0 // end: what fits together with the mark
	for i, r := range s {
		if used < room {
			end = i
		}
		if used += columns(r); used > room && room > 0 {
			return s[:end] + "…"
		}
	}
	return s
}

// cleaner writes what may be shown.
type cleaner struct {
	b       strings.Builder
	oneLine bool
	last    rune // the last character that was written as it was, 0 after anything else
	marks   int  // combining marks since then
	run     int  // characters replaced in a row
}

func (c *cleaner) rune(r rune) {
	switch {
	case r == '\n' || r == '\t' || r == '\u2028' || r == '\u2029':
		c.endRun()
		c.last = 0
		if r > '\t' {
			r = '\n'
		}
		if c.oneLine {
			r = ' '
		}
		c.b.WriteRune(r)
	case r < ' ':
		c.replace(r, string(0x2400+r))
	case r == 0x7f:
		c.replace(r, "\u2421")
	case r >= ' ' && r < 0x7f:
		c.write(r)
	case joins(r):
		if c.run == 0 && c.last > unicode.MaxASCII && c.marks <= maxMarks && !joins(c.last) {
			c.b.WriteRune(r)
			c.last = r
			return
		}
		c.replace(r, fmt.Sprintf("<U+%04X>", r))
	case !visible(r):
		c.replace(r, fmt.Sprintf("<U+%04X>", r))
	case unicode.Is(unicode.M, r):
		c.mark(r)
	default:
		c.write(r)
	}
}

func (c *cleaner) write(r rune) {
	c.endRun()
	c.b.WriteRune(r)
	c.last = r
}

// mark writes a combining mark.
func (c *cleaner) mark(r rune) {
	if c.run > 0 || c.last == 0 || c.last == ' ' {
		c.endRun()
		c.b.WriteRune('\u25cc')
		c.last = '\u25cc'
	}
	if c.marks++; c.marks <= maxMarks {
		c.b.WriteRune(r)
	}
}

// replace writes text for r, of a run of replaced characters only the first ones.
func (c *cleaner) replace(_ rune, text string) {
	if c.run == 0 {
		c.endRun()
	}
	if c.run++; c.run <= maxShown {
		c.b.WriteString(text)
	}
	c.last = 0
}

// endRun says how much was left out.
func (c *cleaner) endRun() {
	if c.run > maxShown {
		fmt.Fprintf(&c.b, "<+%d more>", c.run-maxShown)
	}
	if c.marks > maxMarks {
		fmt.Fprintf(&c.b, "<+%d marks>", c.marks-maxMarks)
	}
	c.run, c.marks = 0, 0
}

// joins reports whether r is invisible, but has its place in words and emoji.
func joins(r rune) bool { return r == 0x200c || r == 0x200d || r == 0xfe0e || r == 0xfe0f }

// blanks are characters that are letters or marks by their category and show nothing.
var blanks = []rune{0x00ad, 0x034f, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180b, 0x180c, 0x180d, 0x180e, 0x180f, 0x2800, 0x3164, 0xffa0, 0x1d159}

// visible reports whether r shows something, or is a blank of some width, and acts on
// nothing else.
func visible(r rune) bool {
	if !unicode.IsGraphic(r) || r >= 0xfe00 && r <= 0xfe0f || r >= 0xe0100 && r <= 0xe01ef {
		return false
	}
	for _, b := range blanks {
		if r == b {
			return false
		}
	}
	return true
}

// columns returns how many columns of a terminal r takes.
func columns(r rune) int {
	if unicode.Is(unicode.M, r) || joins(r) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// wrap breaks lines at blanks, or where there are none within a word.
func wrap(s string, l Layout) string {
	indent := 0
	for _, r := range l.Indent {
		indent += columns(r)
	}
	if l.Width <= indent+1 { // no place: it is the terminal that wraps
		return strings.ReplaceAll(s, "\n", "\n"+l.Indent)
	}
	var b strings.Builder
	lines := 0
	for line := range strings.SplitSeq(s, "\n") {
		for first := true; first || line != ""; first = false {
			if lines++; lines > maxLines {
				b.WriteString("\n" + l.Indent + "<…>")
				return b.String()
			}
			room := l.Width
			if lines > 1 {
				b.WriteString("\n" + l.Indent)
				room -= indent
			}
			var head string
			head, line = fit(line, room)
			b.WriteString(head)
		}
	}
	return b.String()
}

// fit splits a line so that head takes at most room columns and at least one
// character.
func fit(line string, room int) (head, rest string) {
	used, blank := 0, -1
	for i, r := range line {
		w := columns(r)
		if r == '\t' {
			w = 8 - used%8
		}
		if used+w > room && i > 0 {
			if r == ' ' || r == '\t' {
				blank = i
			}
			if blank <= 0 {
				return line[:i], line[i:]
			}
			return strings.TrimRight(line[:blank], " \t"), strings.TrimLeft(line[blank:], " \t")
		}
		if (r == ' ' || r == '\t') && strings.TrimLeft(line[:i], " \t") != "" {
			blank = i
		}
		used += w
	}
	return line, ""
}
