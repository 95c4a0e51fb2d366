//go:build race

package mainline

// raced: the race detector is on.
const raced = true
