// Package simtest is a swarm on a simulated network and clock.
package simtest
