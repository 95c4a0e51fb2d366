//go:build !linux && !darwin && !windows

package console

import "os"

// peerUID trusts the modes of the socket and its directory, where the system has
// no way to ask that we know.
func peerUID(int) (int, error) { return os.Getuid(), nil }
