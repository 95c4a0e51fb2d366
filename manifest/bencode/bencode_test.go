package bencode

import (
	"errors"
	"strings"
	"testing"
)

func TestSpellings(t *testing.T) {
	for _, tt := range []struct {
		in string
		ok bool
	}{
		{"i0e", true}, {"i-1e", true}, {"i9223372036854775807e", true},
		{"i-0e", false}, {"i00e", false}, {"i+1e", false}, {"ie", false}, {"i1", false},
		{"i9223372036854775808e", false},
		{"0:", true}, {"3:abc", true}, {"03:abc", false}, {"4:abc", false}, {"3abc", false},
		{"99999999999:a", false}, {"-1:", false},
		{"le", true}, {"li1ei2ee", true}, {"l", false},
		{"de", true}, {"d1:ai1e1:bi2ee", true},
		{"d1:bi1e1:ai2ee", false}, {"d1:ai1e1:ai2ee", false}, {"d1:ae", false}, {"di1ei1ee", false},
		{"i1ei2e", false}, {"", false}, {"e", false},
		{strings.Repeat("l", MaxDepth) + strings.Repeat("e", MaxDepth), true},
		{strings.Repeat("l", MaxDepth+1) + strings.Repeat("e", MaxDepth+1), false},
	} {
		r := NewReader([]byte(tt.in))
		raw := r.Skip()
		err := r.End()
		if (err == nil) != tt.ok {
			t.Errorf("%.40q: error %v, want ok = %v", tt.in, err, tt.ok)
		}
		if err == nil && string(raw) != tt.in {
			t.Errorf("%q came back as %q", tt.in, raw)
		}
		if err != nil && !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %v does not wrap ErrSyntax", tt.in, err)
		}
	}
}

func TestReadDict(t *testing.T) {
	var b []byte
	b = append(b, 'd')
	b = AppendString(b, "list")
	b = append(b, 'l')
	b = AppendInt(b, 7)
	b = AppendInt(b, -8)
	b = append(b, 'e')
	b = AppendString(b, "other")
	b = AppendString(b, []byte("x"))
	b = append(b, 'e')
	b = append(b, "payload"...)
	var sum int64
	r := NewReader(b)
	r.Dict(func(key string) {
		switch key {
		case "list":
			r.List(func() { sum += r.Int() })
		default:
			r.Skip()
		}
	})
	if r.Err() != nil || sum != -1 || string(r.Rest()) != "payload" {
		t.Fatalf("sum %d rest %q err %v", sum, r.Rest(), r.Err())
	}
	if r.End() == nil {
		t.Fatal("End accepted bytes after the value")
	}
}

func TestFixedAndIdleCallback(t *testing.T) {
	var four [4]byte
	r := NewReader([]byte("3:abc"))
	r.Fixed(four[:])
	if r.Err() == nil {
		t.Fatal("3 bytes were accepted where 4 are required")
	}
	r = NewReader([]byte("li1ee"))
	r.List(func() {})
	if r.Err() == nil {
		t.Fatal("a callback that reads nothing went unnoticed")
	}
}

// reprint decodes b into nested Go values and prints them again.
func reprint(r *Reader, out []byte) []byte {
	switch r.Kind() {
	case 'i':
		return AppendInt(out, r.Int())
	case 's':
		return AppendString(out, r.Bytes())
	case 'l':
		out = append(out, 'l')
		r.List(func() { out = reprint(r, out) })
	case 'd':
		out = append(out, 'd')
		r.Dict(func(k string) { out = reprint(r, AppendString(out, k)) })
	default:
		r.Skip()
		return out
	}
	return append(out, 'e')
}

func FuzzReader(f *testing.F) {
	for _, s := range []string{"i1e", "d1:ai1e1:bl1:xee", "d1:a", "l", "5:hello", "i-0e", "llleee"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(b)
		out := reprint(r, nil)
		if r.End() == nil && string(out) != string(b) {
			t.Fatalf("%q was accepted and printed back as %q", b, out)
		}
	})
}
