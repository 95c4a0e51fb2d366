//go:build !linux

package main_test

import "testing"

func testLANOnly(t *testing.T, _ *lab) { t.Skip("it needs network namespaces, which are Linux's") }
