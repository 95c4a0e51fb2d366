package main

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// fluidBound is T*, the least time in which an origin with uplink us can bring size bytes to leechers with the given
// uplinks, when the slowest downlink is dmin (0 = open). Rates are in bit/s, size in bytes.
func fluidBound(size int64, us int64, uplinks []int64, dmin int64) time.Duration {
	bits := 8 * float64(size)
	sum := float64(us)
	for _, u := range uplinks {
		sum += float64(u)
	}
	t := max(bits/float64(us), bits*float64(len(uplinks))/sum)
	if dmin > 0 {
		t = max(t, bits/float64(dmin))
	}
	return time.Duration(math.Round(t * float64(time.Second)))
}

// median of values, the mean of the middle two when their number is even; 0 of none. The slice keeps its order.
func median[T cmp.Ordered](values []T, middle func(a, b T) T) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return middle(s[n/2-1], s[n/2])
	}
	return s[len(s)/2]
}

func medianFloat(values []float64) float64 {
	return median(values, func(a, b float64) float64 { return (a + b) / 2 })
}

// medianOf takes the median of one field of many results, leaving out those below 0, which were not measured; -1 if none was.
func medianOf[R any](results []R, field func(R) float64) float64 {
	var values []float64
	for _, r := range results {
		if v := field(r); v >= 0 {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return -1
	}
	return medianFloat(values)
}
