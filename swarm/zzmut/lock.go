package store

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// fileLock is a lock on an open file, held until the file is closed or the
// process ends, however it ends.
type fileLock struct{ f *os.File }

// takeLock locks f, which it owns from now on, and writes this process's id into
// it. what is named in errors. Unless must is set, a file system without locks is
// taken as it is.
func takeLock(f *os.File, what string, must bool, hint string) (*fileLock, error) {
	held, err := lockFile(f)
	if held {
		pid := readPID(f)
		f.Close()
		e := &Error{Kind: ErrLocked, Path: what, PID: pid, Hint: hint}
		if pid != 0 {
			e.Detail = fmt.Sprintf("process %d holds it", pid)
		}
		return nil, e
	}
	if err != nil && (must || !hasNoLocks(err)) {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			f.Close()
			return nil, diskError("write", f.Name(), err)
		}
	}
	return &fileLock{f}, nil
}

// readPID returns 0 when the file does not tell.
func readPID(f *os.File) int {
	var b [32]byte
	n, _ := f.ReadAt(b[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func (l *fileLock) release() {
	if l != nil {
		l.f.Close()
	}
}
