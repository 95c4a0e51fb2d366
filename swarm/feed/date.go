package feed

import (
	"regexp"
	"strings"
	"time"
)

// zones are the names that feeds use (RFC 822, and what is seen besides). Package time
// knows none of them but the machine's own.
var zones = map[string]string{
	"UT": "+0000", "UTC": "+0000", "GMT": "+0000", "Z": "+0000", "EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500",
	"MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700", "CET": "+0100", "CEST": "+0200", "EET": "+0200", "EEST": "+0300",
	"WET": "+0000", "WEST": "+0100", "BST": "+0100", "MSK": "+0300", "JST": "+0900", "IST": "+0530", "AEST": "+1000", "AEDT": "+1100",
}

// layouts are tried in this order on what normalDate returns.
var layouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04",
	"2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02 15:04",
	"2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04 -0700", "2 Jan 2006 15:04:05", "2 Jan 2006 15:04", "2 Jan 2006",
	"2 Jan 06 15:04:05 -0700", "2 Jan 06 15:04 -0700", "2 Jan 06 15:04:05",
	"Jan 2 15:04:05 2006", "Jan 2 15:04:05 -0700 2006", "Jan 2 2006 15:04:05 -0700", "Jan 2 2006 15:04:05", "Jan 2 2006 15:04", "Jan 2 2006",
	"2006-01-02", "2006-01", "20060102", "2006",
}

var (
	weekday   = regexp.MustCompile(`(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*[,.]?\s*`)
	longMonth = regexp.MustCompile(`(?i)\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?`)
	zoneName  = regexp.MustCompile(`\s*\b([A-Z]{1,4})(\s+\d{4})?$`)
	zoneColon = regexp.MustCompile(`\s(?:GMT|UTC)?([+-]\d\d):?(\d\d)$`)
)

// parseDate reads a date as feeds have them, and returns the zero time for what is
// none. A time without zone is UTC.
func parseDate(s string) time.Time {
	s = strings.Join(strings.Fields(s), " ")
	if s == "" || len(s) > 64 {
		return time.Time{}
	}
	for _, layout := range layouts[:9] {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	s = normalDate(s)
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// normalDate drops the weekday and writes months and zones in one way.
func normalDate(s string) string {
	s = weekday.ReplaceAllString(s, "")
	s = strings.ReplaceAll(s, ",", " ")
	s = longMonth.ReplaceAllStringFunc(s, func(m string) string { return strings.ToUpper(m[:1]) + strings.ToLower(m[1:3]) })
	s = strings.Join(strings.Fields(s), " ")
	s = zoneColon.ReplaceAllString(s, " $1$2")
	if m := zoneName.FindStringSubmatch(s); m != nil {
		if offset, ok := zones[m[1]]; ok {
			s = strings.TrimSuffix(s, m[0]) + " " + offset + m[2]
		}
	}
	return s
}
