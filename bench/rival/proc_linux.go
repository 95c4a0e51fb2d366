package rival

import (
	"fmt"
	"os"
	"syscall"
)

// processUsage reads /proc; false once the process is gone.
func processUsage(pid int) (Usage, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, false
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, false
	}
	cpu, ok := parseStat(string(stat))
	peak, anon := parseStatus(string(status))
	return Usage{CPU: cpu, PeakRSS: peak, PeakAnon: anon}, ok && peak >= 0 // a zombie has no memory
}

// dieWithParent asks the kernel to end the program when the thread that started it ends, so that even a killed run
// leaves nothing behind.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
