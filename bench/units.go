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
