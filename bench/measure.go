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
	return arrivalBound(size, us, uplinks, dmin, make([]time.Duration, len(uplinks)))
}

// arrivalBound is the least time, from the first arrival, in which all leechers can have all when they come at the given
// times, which rise from 0: doc.go has the formula.
func arrivalBound(size int64, us int64, uplinks []int64, dmin int64, arrivals []time.Duration) time.Duration {
	bits := 8 * float64(size)
	bound := bits / float64(us)
	for k := range arrivals {
		if dmin > 0 {
			bound = max(bound, arrivals[k].Seconds()+bits/float64(dmin))
		}
		if k == 0 || arrivals[k] > arrivals[k-1] {
			bound = max(bound, capacityFrom(k, bits, us, uplinks, arrivals))
		}
	}
	return time.Duration(math.Round(bound * float64(time.Second)))
}

// capacityFrom is when all uplinks together can have sent, since leecher k came, what it and all later ones need.
func capacityFrom(k int, bits float64, us int64, uplinks []int64, arrivals []time.Duration) float64 {
	need := bits * float64(len(arrivals)-k)
	rate, now := float64(us), arrivals[k].Seconds()
	for i, at := range arrivals {
		if passed := at.Seconds() - now; passed > 0 {
			if rate*passed >= need {
				break
			}
			need -= rate * passed
			now = at.Seconds()
		}
		rate += float64(uplinks[i])
	}
	return now + need/rate
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
