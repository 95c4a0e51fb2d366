package console

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"handful/swarm/mirror"
	"handful/swarm/policy"
)

// Rate is a flag value in bytes a second; 0 = no limit. "500K", "5M", "1.5G",
// with K, M, G = 1024; a trailing "iB", "B" and "/s" is allowed.
type Rate int64

func (r *Rate) Set(s string) error {
	n, err := parseSize(strings.TrimSuffix(s, "/s"))
	*r = Rate(n)
	return err
}

func (r Rate) String() string { return sizeString(int64(r)) }
func (Rate) Type() string     { return "RATE" }

// Limit is a flag value: a Rate, or a timetable of Rates.
type Limit struct{ policy.Timetable }

func (l *Limit) Set(s string) (err error) {
	t, err := policy.ParseTimetable(s, func(word string) (int64, error) {
		var r Rate
		err := r.Set(word)
		return int64(r), err
	})
	if err == nil {
		l.Timetable = t
	}
	return err
}

func (Limit) Type() string { return "RATE" }

// Size is a flag value in bytes, spelled like a Rate without "/s".
type Size int64

func (z *Size) Set(s string) error {
	n, err := parseSize(s)
	*z = Size(n)
	return err
}

func (z Size) String() string { return sizeString(int64(z)) }
func (Size) Type() string     { return "SIZE" }

func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "iB")
	unit := int64(1)
	if n := len(digits); n > 0 {
		switch digits[n-1] {
		case 'K', 'k':
			unit = 1 << 10
		case 'M', 'm':
			unit = 1 << 20
		case 'G', 'g':
			unit = 1 << 30
		}
	}
	switch suffix := s[len(digits):]; {
	case unit == 1 && suffix != "" && suffix != "B", unit > 1 && suffix != "" && suffix != "B" && suffix != "iB":
		return 0, fmt.Errorf("%q is no size: a number with K, M or G (= 1024) is", s)
	case unit > 1:
		digits = digits[:len(digits)-1]
	}
	if whole, err := strconv.ParseInt(digits, 10, 64); err == nil && digits[0] != '+' {
		if whole < 0 || whole > math.MaxInt64/unit {
			return 0, fmt.Errorf("%q is out of range", s)
		}
		return whole * unit, nil
	}
	if strings.Trim(digits, "0123456789.") != "" || !strings.ContainsAny(digits, "0123456789") {
		return 0, fmt.Errorf("%q is no size: a number with K, M or G (= 1024) is", s)
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no size: a number with K, M or G (= 1024) is", s)
	}
	if f *= float64(unit); f >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is out of range", s)
	}
	return int64(f), nil
}

func sizeString(n int64) string {
	for _, u := range []struct {
		unit int64
		name string
	}{{1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "K"}} {
		if n > 0 && n%u.unit == 0 {
			return strconv.FormatInt(n/u.unit, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// Span flags: "90s", "10m", "2h", "1h30m", "7d", or a bare number of seconds.
type spanValue struct{ d *time.Duration }

// SpanFlag is the value of a flag for a span of time: 90s, 10m, 7d.
func SpanFlag(d *time.Duration) pflag.Value { return spanValue{d} }

func (v spanValue) Set(s string) error {
	d, err := parseSpan(s)
	if err != nil {
		return err
	}
	*v.d = d
	return nil
}

func (v spanValue) String() string {
	if v.d == nil {
		return "0s"
	}
	return v.d.String()
}
func (spanValue) Type() string { return "DURATION" }

func parseSpan(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration: 90s, 10m, 2h, 7d or a number of seconds is", s)
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, bad
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, bad
	}
	return d, nil
}

// rangeValue is a number within bounds.
type rangeValue struct {
	n        *int
	min, max int
}

// Range returns the flag value of a number within bounds.
func Range(n *int, least, most int) pflag.Value { return rangeValue{n, least, most} }

func (v rangeValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < v.min || n > v.max {
		return fmt.Errorf("%q is no number from %d to %d", s, v.min, v.max)
	}
	*v.n = n
	return nil
}

func (v rangeValue) String() string {
	if v.n == nil {
		return "0"
	}
	return strconv.Itoa(*v.n)
}
func (rangeValue) Type() string { return "N" }

// checkedValue is a text flag, or a repeatable one, whose values are checked when
// they are set. A repeatable flag's variable holds a list with commas.
type checkedValue struct {
	one   *string
	many  *[]string
	kind  string
	check func(string) error
}

func (v *checkedValue) Set(s string) error {
	if v.many == nil {
		if err := v.check(s); err != nil {
			return err
		}
		*v.one = s
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if err := v.check(part); err != nil {
			return err
		}
		*v.many = append(*v.many, part)
	}
	return nil
}

func (v *checkedValue) String() string {
	if v.many != nil {
		return strings.Join(*v.many, ",")
	}
	if v.one != nil {
		return *v.one
	}
	return ""
}

func (v *checkedValue) Type() string { return v.kind }

// checkHostPort wants HOST:PORT; port 0 only where listen is true, and there the
// host may be empty (all addresses) but must be an address otherwise.
func checkHostPort(listen bool) func(string) error {
	return func(s string) error {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			return fmt.Errorf("%q is no HOST:PORT (an IPv6 address goes in brackets: [::1]:6881)", s)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 && !listen {
			return fmt.Errorf("%q: %q is no port", s, port)
		}
		if host == "" && !listen {
			return fmt.Errorf("%q has no host", s)
		}
		if _, err := netip.ParseAddr(host); listen && host != "" && host != "localhost" && err != nil {
			return fmt.Errorf("%q: %q is no address of this machine (an IP address is, or nothing for all)", s, host)
		}
		if strings.ContainsFunc(host, unsafeRune) || strings.ContainsAny(host, " /@") {
			return fmt.Errorf("%q: %q is no host", s, host)
		}
		return nil
	}
}

func checkTracker(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "udp" {
		return fmt.Errorf("%q is no tracker: an http, https or udp URL is", s)
	}
	if u.User != nil {
		return fmt.Errorf("%q has a password in it, which others could read", u.Redacted())
	}
	if u.Scheme == "udp" && u.Port() == "" {
		return fmt.Errorf("%q has no port: udp trackers need one", s)
	}
	return nil
}

func checkWeb(s string) error {
	if _, err := mirror.ParseBase(s); err != nil {
		return fmt.Errorf("%q is no web seed: an http or https URL is, without user, query and fragment", s)
	}
	return nil
}

func checkText(s string) error {
	if s == "" || len(s) > 256 || strings.ContainsFunc(s, unsafeRune) {
		return fmt.Errorf("%q must be 1 to 256 bytes of printable text", s)
	}
	return nil
}

func anyText(string) error { return nil }

// SizeFlag is the value of a flag for a number of bytes: 500K, 5M, 1G (= 1024).
func SizeFlag(n *int64) pflag.Value { return sizeFlag{n} }

type sizeFlag struct{ n *int64 }

func (v sizeFlag) Set(s string) (err error) {
	*v.n, err = parseSize(s)
	return err
}

func (v sizeFlag) String() string { return sizeString(*v.n) }
func (v sizeFlag) Type() string   { return "SIZE" }

// SinceFlag is the value of a flag for a moment of the past: a span that ended now, such as
// 24h or 7d, a day, or a time in RFC 3339.
func SinceFlag(at *time.Time, now func() time.Time) pflag.Value { return &sinceFlag{at: at, now: now} }

type sinceFlag struct {
	at  *time.Time
	now func() time.Time
	s   string
}

func (v *sinceFlag) Set(s string) error {
	v.s = s
	if d, err := parseSpan(s); err == nil {
		*v.at = v.now().Add(-d)
		return nil
	}
	if at, err := time.ParseInLocation(time.DateOnly, s, v.now().Location()); err == nil {
		*v.at = at
		return nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("%q is neither a span such as 24h or 7d, nor a day such as 2026-01-02, nor a time such as 2026-01-02T15:04:05Z", s)
	}
	*v.at = at
	return nil
}

func (v *sinceFlag) String() string { return v.s }
func (v *sinceFlag) Type() string   { return "TIME" }
