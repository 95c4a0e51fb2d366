//go:build unix

package feed

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// runGroup runs c in a process group of its own. When its context ends, and when it
// has exited after that, the whole group is killed.
func runGroup(c *exec.Cmd) error {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error {
		err := syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	return c.Run()
}
