package feed

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// runGroup runs c in a job of its own, which is ended with everything in it when the
// context of c ends. What c starts before it is in the job, which is a moment after
// its own start, is not in the job.
func runGroup(c *exec.Cmd) error {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(job)
	c.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP, HideWindow: true}
	c.Cancel = func() error {
		windows.TerminateJobObject(job, 1)
		return c.Process.Kill()
	}
	if err := c.Start(); err != nil {
		return err
	}
	if p, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(c.Process.Pid)); err == nil {
		windows.AssignProcessToJobObject(job, p) // it may be gone already
		windows.CloseHandle(p)
	}
	return c.Wait()
}
