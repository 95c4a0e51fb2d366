package console

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Bytes prints a size with one decimal: "17 B", "1.4 GiB".
func Bytes(n int64) string {
	if n < 1024 && n > -1024 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		v /= 1024
		// 1023.95 would print as 1024.0 of this unit.
		if v < 1023.95 && v > -1023.95 {
			return fmt.Sprintf("%.1f %s", v, unit)
		}
	}
	return fmt.Sprintf("%.1f EiB", v/1024)
}

// Speed prints bytes a second: "1.4 MiB/s".
func Speed(n int64) string { return Bytes(n) + "/s" }

// Span prints a duration as people say it, with at most two units: "0.4 s",
// "14 s", "3m20s", "2h05m", "3d04h".
func Span(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	switch {
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d.Round(time.Second) < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 3600 && s%60 == 0:
		return fmt.Sprintf("%dm", s/60)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
}

// Clean makes a text from elsewhere safe to print on one line of a terminal:
// control characters, line breaks, and characters that are invisible or turn the direction
// of writing are replaced by U+FFFD, and so is what is not UTF-8. The joiners of words and
// emoji stay.
func Clean(s string) string {
	safe := true
	for _, r := range s {
		if unsafeRune(r) {
			safe = false
			break
		}
	}
	if safe {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unsafeRune(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

func unsafeRune(r rune) bool {
	return !unicode.IsGraphic(r) && r != '\u200c' && r != '\u200d' || r == unicode.ReplacementChar
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
