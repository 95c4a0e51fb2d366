package feed

import (
	"strings"
	"testing"
	"time"
)

func TestText(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"text", "a  b\nc", "a b c"},
		{"entities", "a &amp; b &lt;c&gt; &eacute;&#8217;", "a & b <c> é’"},
		{"paragraphs", "<p>one</p>\n<p>two</p>three<div>four</div>", "one\n\ntwo\n\nthree\nfour"},
		{"line breaks", "a<br>b<br/>\n c<br><br><br><br>d", "a\nb\nc\n\nd"},
		{"inline", "<b>a</b><i>b</i> <em>c</em>", "ab c"},
		{"list", "<ul><li>a</li><li>b <b>c</b></li></ul>d", "- a\n- b c\n\nd"},
		{"link", `see <a href="/page">this page</a>.`, "see this page <http://x.example/page>."},
		{"link that shows its address", `<a href="http://y.example/">http://y.example</a>`, "http://y.example"},
		{"link to a script", `<a href="javascript:alert(1)">x</a>`, "x"},
		{"picture", `<img src="x" alt="a  cat">`, "[a cat]"},
		{"hidden", "a<script>var x = '<p>';</script><style>p{}</style><!-- c -->b", "ab"},
		{"head that is not closed", "<html><head><title>t</title><body>b</body></html>", "b"},
		{"pre", "<pre>  x\n    y</pre>", "x\n    y"},
		{"quote", "a<blockquote><p>b</p><p>c</p></blockquote>d", "a\n\n> b\n\n> c\n\nd"},
		{"table", "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "a\tb\n1\t2"},
		{"heading and rule", "<h1>a</h1>b<hr>c", "a\n\nb\n\n---\n\nc"},
		{"broken", "a <b <i>c</i> &", "a c &"},
		{"blanks between elements", "<p>a</p> <p> b </p>", "a\n\nb"},
	} {
		if got := Text(tt.in, "http://x.example/"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	// What is short here is long there: the address that all links are seen from.
	if got := Text(strings.Repeat("<a href=x>y</a>", 100_000), "http://x.example/"+strings.Repeat("z", 1500)+"/"); len(got) > maxText+maxLink+10 {
		t.Errorf("%d bytes", len(got))
	}
	if got := Text(strings.Repeat("<blockquote><a href=x><ul><li><svg>", 20_000), ""); len(got) > maxText {
		t.Errorf("%d bytes", len(got))
	}
}

func TestParseDate(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
	for _, tt := range []struct {
		in   string
		want time.Time
	}{
		{"Sun, 01 Mar 2026 12:30:00 GMT", at}, {"Sun, 1 Mar 2026 13:30:00 +0100", at}, {"Sun, 1 Mar 2026 13:30 CET", at},
		{"1 Mar 26 07:30:00 EST", at}, {"Sunday, 01-Mar-2026", time.Time{}}, {"Sun, 01 March 2026 12:30:00 UTC", at}, {"Sun,01 Mar 2026 12:30:00 GMT", at},
		{"sun, 01 mar 2026 12:30:00 Z", at}, {"Sun Mar 1 12:30:00 2026", at}, {"Sun Mar 1 12:30:00 UTC 2026", at}, {"March 1, 2026 12:30:00", at},
		{"2026-03-01T12:30:00Z", at}, {"2026-03-01T13:30:00.000+01:00", at}, {"2026-03-01T12:30Z", at}, {"2026-03-01 12:30:00", at}, {"2026-03-01T12:30:00", at},
		{"2026-03-01T13:30:00+0100", at}, {"2026-03-01 13:30:00 +0100", at}, {"Sun, 01 Mar 2026 13:30:00 GMT+01:00", at},
		{"2026-03-01", at.Truncate(24 * time.Hour)}, {"1 Mar 2026", at.Truncate(24 * time.Hour)}, {" Sun,  01 Mar 2026\n12:30:00 GMT ", at},
		{"", time.Time{}}, {"yesterday", time.Time{}}, {"Sun, 32 Mar 2026 12:30:00 GMT", time.Time{}}, {strings.Repeat("1", 100), time.Time{}},
	} {
		if got := parseDate(tt.in); !got.Equal(tt.want) {
			t.Errorf("%q: %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestPersonName(t *testing.T) {
	for in, want := range map[string]string{
		"ann@x.example (Ann Lee)": "Ann Lee", "Ann Lee (ann@x.example)": "Ann Lee", "Ann Lee": "Ann Lee", "ann@x.example": "ann@x.example",
		`"Ann" <ann@x.example>`: "Ann", "Ann (the first)": "Ann (the first)", "": "",
	} {
		if got := personName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
