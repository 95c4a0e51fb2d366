//go:build !linux && !darwin

package swarm

import "net"

// keepShort does nothing where the system has no bound on unsent bytes.
func keepShort(net.Conn) {}
