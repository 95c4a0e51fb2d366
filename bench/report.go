package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// report is where results (stdout) and what happens meanwhile (stderr) go.
type report struct{ stdout, stderr io.Writer }

// notef says what is being done.
func (r report) notef(format string, args ...any) {
	fmt.Fprintf(r.stderr, "bench: "+format+"\n", args...)
}

// line prints one JSON object.
func (r report) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	_, err = fmt.Fprintf(r.stdout, "%s\n", b)
	return err
}

// table is a Markdown table whose columns are padded for reading as plain text. The first column is left-aligned.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// missing adds a row that says why there are no figures.
func (t *table) missing(name, why string) { t.rows = append(t.rows, []string{name, why}) }

func (t *table) String() string {
	width := make([]int, len(t.head))
	for i, h := range t.head {
		width[i] = utf8.RuneCountInString(h)
	}
	for _, row := range t.rows {
		if len(row) < len(t.head) { // a reason may be as long as it likes
			width[0] = max(width[0], utf8.RuneCountInString(row[0]))
			continue
		}
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	write := func(cells []string) {
		for i, c := range cells {
			pad := ""
			if i < len(width) {
				pad = strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(c)))
			}
			if i == 0 || len(cells) < len(t.head) {
				b.WriteString("| " + c + pad + " ")
			} else {
				b.WriteString("| " + pad + c + " ")
			}
		}
		b.WriteString("|\n")
	}
	write(t.head)
	for i, w := range width {
		if i == 0 {
			b.WriteString("| " + strings.Repeat("-", w) + " ")
		} else {
			b.WriteString("| " + strings.Repeat("-", w-1) + ": ")
		}
	}
	b.WriteString("|\n")
	for _, row := range t.rows {
		write(row)
	}
	return b.String()
}

// number prints v with the given digits, "–" if it was not measured (below 0).
func number(v float64, digits int) string {
	if v < 0 {
		return "–"
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}
