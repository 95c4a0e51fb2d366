//go:build !windows

package main

import "io/fs"

// execFits tells whether a file is executable as it should be.
func execFits(info fs.FileInfo, exec bool) bool { return !exec || info.Mode()&0o100 != 0 }
