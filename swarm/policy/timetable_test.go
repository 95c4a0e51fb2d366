package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// plainRate reads bytes/s without units.
func plainRate(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", s)
	}
	return n, nil
}

// at is a time of the week that begins on Sunday, 2 February 2025.
func at(t *testing.T, s string) time.Time {
	t.Helper()
	name, clock, _ := strings.Cut(s, " ")
	d := slices.Index(dayNames[:], name)
	c, err := time.Parse("15:04:05", clock)
	if d < 0 || err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return time.Date(2025, 2, 2+d, c.Hour(), c.Minute(), c.Second(), 0, time.UTC)
}

func TestTimetable(t *testing.T) {
	for _, c := range []struct {
		in   string
		want map[string]int64
	}{
		{"off", map[string]int64{"mon 12:00:00": 0}},
		{"0", map[string]int64{"mon 12:00:00": 0}},
		{"5", map[string]int64{"mon 00:00:00": 5, "sun 23:59:59": 5}},
		{" 5 ", map[string]int64{"mon 00:00:00": 5}},
		{"08:00,5", map[string]int64{"mon 07:59:59": 5, "mon 08:00:00": 5}},
		{"08:00,5 19:00,off", map[string]int64{
			"sun 00:00:00": 0, "sun 07:59:59": 0, "sun 08:00:00": 5, "sat 18:59:59": 5, "sat 19:00:00": 0, "sat 23:59:59": 0}},
		{"19:00,off 8:00,5", map[string]int64{"wed 07:59:59": 0, "wed 08:00:00": 5, "wed 18:59:59": 5, "wed 19:00:00": 0}},
		{"08:00,5 19:00,7", map[string]int64{"sun 03:00:00": 7, "mon 03:00:00": 7, "mon 08:30:00": 5}},
		{"00:00,1 12:00,2 23:59,3", map[string]int64{"tue 23:58:59": 2, "tue 23:59:00": 3, "wed 00:00:00": 1}},
		{"mon-fri 08:00,5 19:00,off", map[string]int64{
			"mon 07:59:00": 0, "mon 08:00:00": 5, "fri 18:59:00": 5, "fri 19:00:00": 0, "sat 12:00:00": 0, "sun 12:00:00": 0}},
		{"MON 08:00,5 sat-sun 00:00,9 fri 20:00,1", map[string]int64{
			"mon 07:00:00": 9, "mon 09:00:00": 5, "thu 09:00:00": 5, "fri 21:00:00": 1, "sat 00:00:00": 9, "sun 23:00:00": 9}},
		{"fri-mon 10:00,5 wed 10:00,7", map[string]int64{ // over the end of the week
			"fri 09:00:00": 7, "fri 10:00:00": 5, "sun 10:00:00": 5, "tue 10:00:00": 5, "wed 10:00:00": 7, "thu 10:00:00": 7}},
	} {
		tt, err := ParseTimetable(c.in, plainRate)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		again, err := ParseTimetable(tt.String(), plainRate)
		if err != nil || again.String() != tt.String() {
			t.Errorf("%q prints as %q, which reads as %q, %v", c.in, tt, again, err)
		}
		for clock, want := range c.want {
			if got := tt.At(at(t, clock)); got != want {
				t.Errorf("%q at %s: %d, want %d", c.in, clock, got, want)
			}
			if got := again.At(at(t, clock)); got != want {
				t.Errorf("%q at %s: %d, want %d", again, clock, got, want)
			}
		}
	}
}

// TestTimetableFollowsTheClockOfItsPlace: 08:00 is eight in the morning where the caller's clock is.
func TestTimetableFollowsTheClockOfItsPlace(t *testing.T) {
	tt, err := ParseTimetable("08:00,5 19:00,off", plainRate)
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2025, 2, 3, 12, 0, 0, 0, time.UTC)
	east := noon.In(time.FixedZone("east", 8*3600)) // 20:00
	if tt.At(noon) != 5 || tt.At(east) != 0 {
		t.Errorf("at noon %d, want 5; in the evening %d, want 0", tt.At(noon), tt.At(east))
	}
}

func TestTimetableZeroValue(t *testing.T) {
	var none Timetable
	if low, high := none.Bounds(); none.At(time.Time{}) != 0 || low != 0 || high != 0 || none.String() != "off" {
		t.Errorf("%d at %v: no limit is wanted", none.At(time.Time{}), none)
	}
	if low, high := Steady(7).Bounds(); low != 7 || high != 7 || Steady(7).At(time.Time{}) != 7 {
		t.Errorf("a steady limit of 7 is %v, %d", Steady(7), low)
	}
	if got := Steady(-1).At(time.Time{}); got != 0 {
		t.Errorf("a negative limit is %d", got)
	}
}

func TestTimetableErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 "a limit is missing",
		"fast":                             `"fast" is no number`,
		"-5":                               `"-5" is less than nothing`,
		"08:00":                            `"08:00" is no TIME,RATE`,
		"08:00,":                           `"08:00,"`,
		"08:00,fast":                       `"08:00,fast": "fast" is no number`,
		"08:00,-1 19:00,1":                 `"-1" is less than nothing`,
		"24:00,1":                          `"24:00,1" is no TIME,RATE`,
		"08:60,1":                          `"08:60,1" is no TIME,RATE`,
		"8,1":                              `"8,1" is no TIME,RATE`,
		"8:5,1":                            `"8:5,1"`,
		"008:00,1":                         `"008:00,1"`,
		"+8:00,1":                          `"+8:00,1"`,
		"5 08:00,1":                        `"5" is no TIME,RATE`,
		"08:00,1 8:00,2":                   `"8:00,2": there is another limit from this time on`,
		"mon-wed 8:00,1 tue 8:00,2":        `"8:00,2": there is another`,
		"mon 8:00,1 08:00,1 monday 9:00,1": `"08:00,1": there is another`,
		"monday 8:00,1":                    `"monday" is no TIME,RATE and no day`,
		"mon-sunday 8:00,1":                `"mon-sunday"`,
		"mon tue 8:00,1":                   `no time follows "mon"`,
		"8:00,1 fri":                       `no time follows "fri"`,
		"mon,":                             `"mon,"`,
	} {
		tt, err := ParseTimetable(in, plainRate)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %q, %v; want an error with %q", in, tt, err, want)
		}
	}
	var long []string
	for i := range maxChanges + 1 {
		long = append(long, fmt.Sprintf("%02d:%02d,1", i/60, i%60))
	}
	if _, err := ParseTimetable(strings.Join(long, " "), plainRate); err == nil || !strings.Contains(err.Error(), "one change too many") {
		t.Errorf("%d changes: %v", len(long), err)
	}
}

func FuzzParseTimetable(f *testing.F) {
	f.Add("5", uint32(0))
	f.Add("08:00,1 19:00,off", uint32(500))
	f.Add("mon-fri 08:00,1 sat-sun 0:00,off wed 12:12,7", uint32(5000))
	f.Fuzz(func(t *testing.T, s string, minute uint32) {
		tt, err := ParseTimetable(s, plainRate)
		if err != nil {
			return
		}
		again, err := ParseTimetable(tt.String(), plainRate)
		if err != nil || again.String() != tt.String() {
			t.Fatalf("%q prints as %q, which reads as %q, %v", s, tt, again, err)
		}
		clock := time.Date(2025, 2, 2, 0, int(minute%week), 0, 0, time.UTC)
		low, high := tt.Bounds()
		if got := tt.At(clock); got != again.At(clock) || got < low || got > high || low < 0 {
			t.Fatalf("%q is %d, printed and read %d, at %s; it is said to be from %d to %d", s, got, again.At(clock), clock, low, high)
		}
	})
}
