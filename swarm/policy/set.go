package policy

import "math/bits"

// Set is a set of small numbers: pieces. The zero value of length 0 is empty and
// holds nothing; make one with NewSet.
type Set []uint64

// NewSet returns an empty set that can hold 0 to n-1.
func NewSet(n int) Set { return make(Set, (n+63)/64) }

// Has reports whether i is in the set; numbers beyond its size never are.
func (s Set) Has(i int) bool { return uint(i) < uint(len(s))*64 && s[i/64]>>(i%64)&1 != 0 }

// Add puts i in, which must fit.
func (s Set) Add(i int) { s[i/64] |= 1 << (i % 64) }

// Remove takes i out, which must fit.
func (s Set) Remove(i int) { s[i/64] &^= 1 << (i % 64) }

// Count returns how many numbers are in the set.
func (s Set) Count() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// next returns the first number from i on that is in a but in none of the other sets;
// -1 if there is none. The sets are equally long.
func next(a, not1, not2, not3, not4 Set, i int) int {
	for w := i / 64; w < len(a); w++ {
		v := a[w] &^ not1[w] &^ not2[w] &^ not3[w] &^ not4[w]
		if w == i/64 {
			v &= ^uint64(0) << (i % 64)
		}
		if v != 0 {
			return w*64 + bits.TrailingZeros64(v)
		}
	}
	return -1
}
