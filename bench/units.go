package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a flag of bytes: K, M, G count 1024.
type size int64

func (s *size) String() string {
	if s == nil {
		return "0"
	}
	n := int64(*s)
	for _, u := range []struct {
		letter string
		of     int64
	}{{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}} {
		if n != 0 && n%u.of == 0 {
			return strconv.FormatInt(n/u.of, 10) + u.letter
		}
	}
	return strconv.FormatInt(n, 10)
}

func (s *size) Set(text string) error {
	n, err := parseUnits(text, 1024)
	*s = size(n)
	return err
}

// bitrate is a flag of bit/s: K, M, G count 1000, as links are sold.
type bitrate int64

func (b *bitrate) String() string {
	if b == nil {
		return "0"
	}
	n := int64(*b)
	for _, u := range []struct {
		letter string
		of     int64
	}{{"G", 1e9}, {"M", 1e6}, {"K", 1e3}} {
		if n != 0 && n%u.of == 0 {
			return strconv.FormatInt(n/u.of, 10) + u.letter
		}
	}
	return strconv.FormatInt(n, 10)
}

func (b *bitrate) Set(text string) error {
	n, err := parseUnits(text, 1000)
	*b = bitrate(n)
	return err
}

// parseUnits reads "12", "1.5M", "2G".
func parseUnits(text string, k float64) (int64, error) {
	number, factor := text, 1.0
	if i := strings.IndexAny(text, "kKmMgG"); i >= 0 && i == len(text)-1 {
		number = text[:i]
		switch text[i] {
		case 'k', 'K':
			factor = k
		case 'm', 'M':
			factor = k * k
		default:
			factor = k * k * k
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f*factor > 1<<60 {
		return 0, fmt.Errorf("%q is not a number with K, M or G behind it", text)
	}
	return int64(f * factor), nil
}

// bitrates is a flag of several rates, comma-separated.
type bitrates []bitrate

func (b *bitrates) String() string {
	if b == nil {
		return ""
	}
	var words []string
	for _, r := range *b {
		words = append(words, r.String())
	}
	return strings.Join(words, ",")
}

func (b *bitrates) Set(text string) error {
	*b = nil
	for word := range strings.SplitSeq(text, ",") {
		var r bitrate
		if err := r.Set(word); err != nil {
			return err
		}
		if r < 1000 {
			return fmt.Errorf("%q is not a rate of at least 1K", word)
		}
		*b = append(*b, r)
	}
	return nil
}

// guestList is a flag of numbers of clients: libtorrent=8,aria2=2.
type guestList []struct {
	client string
	number int
}

func (g *guestList) String() string {
	if g == nil {
		return ""
	}
	var words []string
	for _, kind := range *g {
		words = append(words, fmt.Sprintf("%s=%d", kind.client, kind.number))
	}
	return strings.Join(words, ",")
}

func (g *guestList) Set(text string) error {
	*g = nil
	for word := range strings.SplitSeq(text, ",") {
		client, digits, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > 500 || client == "" {
			return fmt.Errorf("%q is not CLIENT=NUMBER", word)
		}
		*g = append(*g, struct {
			client string
			number int
		}{client, n})
	}
	return nil
}

func (g *guestList) total() (n int) {
	for _, kind := range *g {
		n += kind.number
	}
	return n
}
