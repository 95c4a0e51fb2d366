//go:build !linux

package main_test

import "testing"

func testLANOnly(t *testing.T, _ *lab) { t.Skip("it needs network namespaces, which are Linux's") }

func testDisks(t *testing.T, _ *lab) { t.Skip("it mounts a small tmpfs, which is Linux's") }

func testForbidden(t *testing.T, _ *lab) { t.Skip("it needs users and modes as Linux has them") }

func testStoppedHolder(t *testing.T, _ *lab) { t.Skip("it suspends a process with a signal of Unix") }
