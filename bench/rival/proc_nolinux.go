//go:build !linux

package rival

import "syscall"

func processUsage(int) (Usage, bool) { return Usage{}, false }

func dieWithParent(*syscall.SysProcAttr) {}
