package feed

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestSanitize(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "Tea at four", "Tea at four"},
		{"lines", "one\r\ntwo\n\tthree\n\n", "one\ntwo\n\tthree"},
		{"return alone overwrites", "nice\rEVIL", "nice␍EVIL"},
		{"colour", "\x1b[31mred\x1b[0m", "␛[31mred␛[0m"},
		{"title of the window", "\x1b]0;owned\x07", "␛]0;owned␇"},
		{"clipboard", "\x1b]52;c;ZXZpbA==\x1b\\", "␛]52;c;ZXZpbA==␛\\"},
		{"8-bit CSI", "\u009b31mred", "<U+009B>31mred"},
		{"8-bit CSI as a byte", "\x9b31mred", "\ufffd31mred"},
		{"backspace", "ab\b\bcd", "ab␈␈cd"},
		{"delete and NUL", "a\x7fb\x00c", "a␡b␀c"},
		{"not UTF-8", "a\xff\xfe\xc3b", "a\ufffd\ufffd\ufffdb"},
		{"surrogate", "a\xed\xa0\x80b", "a\ufffd\ufffd\ufffdb"},
		{"override", "gpj.\u202eexe.\u202c", "gpj.<U+202E>exe.<U+202C>"},
		{"isolates", "\u2066a\u2069", "<U+2066>a<U+2069>"},
		{"marks of direction", "a\u200e\u200f\u061cb", "a<U+200E><U+200F><U+061C>b"},
		{"zero width", "pass\u200bword\ufeff", "pass<U+200B>word<U+FEFF>"},
		{"soft hyphen and fillers", "a\u00adb\u3164c\u2800d", "a<U+00AD>b<U+3164>c<U+2800>d"},
		{"tags", "hi" + strings.Repeat("\U000e0041", 100), "hi<U+E0041><U+E0041><U+E0041><+97 more>"},
		{"private use and unassigned", "a\ue000b\U000e0fffc", "a<U+E000>b<U+E0FFF>c"},
		{"separators", "a\u2028b\u2029c", "a\nb\nc"},
		{"accents", "cafe\u0301 n\u0303", "cafe\u0301 n\u0303"},
		{"flood of marks", "a" + strings.Repeat("\u0301", 41) + "b", "a" + strings.Repeat("\u0301", 4) + "<+37 marks>b"},
		{"flood at the end", "a" + strings.Repeat("\u0489", 5), "a" + strings.Repeat("\u0489", 4) + "<+1 marks>"},
		{"mark on nothing", "\u0301a \u0301", "\u25cc\u0301a \u25cc\u0301"},
		{"mark on a line above", "a\n\u0301b", "a\n\u25cc\u0301b"},
		{"mark on what was replaced", "\u202e\u0301", "<U+202E>\u25cc\u0301"},
		{"family", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\u200d\U0001f469\u200d\U0001f467"},
		{"heart", "\u2764\ufe0f", "\u2764\ufe0f"},
		{"Persian", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"},
		{"joiner in ASCII", "a\u200db", "a<U+200D>b"},
		{"joiners in a row", "\u0645\u200c\u200c\u200d", "\u0645\u200c<U+200C><U+200D>"},
		{"Hebrew and Chinese", "שלום 世界", "שלום 世界"},
		{"markup is only text", "<script>alert(1)</script>", "<script>alert(1)</script>"},
	} {
		if got := Sanitize(tt.in, Layout{}); got != tt.want {
			t.Errorf("%s: %+q, want %+q", tt.name, got, tt.want)
		}
	}
}

func TestSanitizeLayout(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		l        Layout
		want     string
	}{
		{"one line", " a\nb\tc\n", Layout{OneLine: true}, "a b c"},
		{"one line, cut", "abcdef", Layout{OneLine: true, Width: 4}, "abc…"},
		{"one line that fits", "abcd", Layout{OneLine: true, Width: 4}, "abcd"},
		{"one line of wide ones", "世世世", Layout{OneLine: true, Width: 5}, "世世…"},
		{"indent", "a\nfetch: error: b", Layout{Indent: "  "}, "a\n  fetch: error: b"},
		{"wrapped", "the quick brown fox", Layout{Width: 10}, "the quick\nbrown fox"},
		{"wrapped exactly", "the quick brown", Layout{Width: 9}, "the quick\nbrown"},
		{"wrapped and indented", "the quick brown fox", Layout{Width: 10, Indent: "> "}, "the quick\n> brown\n> fox"},
		{"long word", "abcdefgh", Layout{Width: 3}, "abc\ndef\ngh"},
		{"leading blanks", "  abcdefgh", Layout{Width: 5}, "  abc\ndefgh"},
		{"wide", "世界世界", Layout{Width: 5}, "世界\n世界"},
		{"wide in one column", "世界", Layout{Width: 2, Indent: "  "}, "世界"},
		{"tab", "a\tb", Layout{Width: 8}, "a\nb"},
		{"empty lines stay", "a\n\nb", Layout{Width: 8}, "a\n\nb"},
		{"cut", "abcdef", Layout{Max: 4}, "abcd <2 bytes more>"},
		{"cut before a character", "abc世", Layout{Max: 4}, "abc <3 bytes more>"},
	} {
		if got := Sanitize(tt.in, tt.l); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	long := Sanitize(strings.Repeat("x", 1<<20), Layout{Width: 80})
	for line := range strings.SplitSeq(long, "\n") {
		if len(line) > 80 {
			t.Fatalf("a line of %d columns", len(line))
		}
	}
	if n := len(long); n > 70<<10 || !strings.Contains(long, "983040 bytes more") {
		t.Errorf("%d bytes: %.200q", n, long[n-40:])
	}
}

// checkSanitized fails unless nothing in s acts.
func checkSanitized(t *testing.T, s string, l Layout) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Fatalf("not valid UTF-8: %q", s)
	}
	marks := 0
	for _, r := range s {
		switch {
		case r == '\n' && !l.OneLine, r == '\t' && !l.OneLine:
		case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Bidi_Control, r), r >= 0xe0000 && r < 0xe0080:
			t.Fatalf("%U in %+q", r, s)
		case !joins(r) && !unicode.IsGraphic(r):
			t.Fatalf("%U in %+q", r, s)
		}
		if marks++; !unicode.Is(unicode.M, r) || joins(r) {
			marks = 0
		}
		if marks > maxMarks {
			t.Fatalf("%d combining marks in %+q", marks, s)
		}
	}
	if l.Width < 3 || l.Indent != "" {
		return
	}
	for line := range strings.SplitSeq(s, "\n") {
		used := 0
		for _, r := range line {
			if r == '\t' {
				used += 8 - used%8
			} else {
				used += columns(r)
			}
		}
		if used > max(l.Width, 8) { // a tab alone may be wider
			t.Fatalf("%d columns of %d: %q", used, l.Width, line)
		}
	}
}

func FuzzSanitize(f *testing.F) {
	f.Add("a\x1b[31m\u202e\u0301\U000e0041\xff\r\n\tb世", 20, false)
	f.Add(strings.Repeat("e\u0301", 50), 3, true)
	f.Fuzz(func(t *testing.T, s string, columns int, oneLine bool) {
		l := Layout{Width: columns % 200, OneLine: oneLine}
		out := Sanitize(s, l)
		checkSanitized(t, out, l)
		if again := Sanitize(out, Layout{OneLine: oneLine}); !oneLine && again != out {
			t.Fatalf("not stable: %+q, then %+q", out, again)
		}
		if unwrapped := Sanitize(s, Layout{OneLine: oneLine}); len(unwrapped) > 9*len(s)+40 {
			t.Fatalf("%d bytes became %d", len(s), len(unwrapped))
		}
	})
}
