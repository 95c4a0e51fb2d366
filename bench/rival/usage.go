package rival

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Usage of one process: CPU of all its threads in user and system mode, memory in bytes. Anonymous memory is what the
// program itself holds; mapped files, which the kernel can drop, are left out of it. Below 0 = not known on this system.
type Usage struct {
	CPU      time.Duration
	PeakRSS  int64
	PeakAnon int64
}

// meter samples a process. Peak anonymous memory is a maximum over samples, so a short peak can be missed.
type meter struct {
	pid  int
	mu   sync.Mutex // guards last
	last Usage
}

// sampleEvery is how often the memory of an instance is looked at.
const sampleEvery = 250 * time.Millisecond

func newMeter(pid int, exited <-chan struct{}, every time.Duration) *meter {
	m := &meter{pid: pid, last: Usage{PeakRSS: -1, PeakAnon: -1}}
	go func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			m.now()
			select {
			case <-exited:
				return
			case <-t.C:
			}
		}
	}()
	return m
}

func (m *meter) now() Usage {
	u, ok := processUsage(m.pid)
	m.mu.Lock()
	defer m.mu.Unlock()
	if ok {
		m.last.CPU = u.CPU
		m.last.PeakRSS = max(m.last.PeakRSS, u.PeakRSS)
		m.last.PeakAnon = max(m.last.PeakAnon, u.PeakAnon)
	}
	return m.last
}

func (m *meter) final(s *os.ProcessState) Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last.CPU = s.UserTime() + s.SystemTime()
	return m.last
}

// parseStatus reads VmHWM (peak resident) and RssAnon out of the text of /proc/PID/status, in bytes; -1 where missing.
func parseStatus(text string) (peak, anon int64) {
	peak, anon = -1, -1
	for line := range strings.Lines(text) {
		key, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) != 2 || fields[1] != "kB" {
			continue
		}
		kb, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			continue
		}
		switch key {
		case "VmHWM":
			peak = kb << 10
		case "RssAnon":
			anon = kb << 10
		}
	}
	return peak, anon
}

// parseStat reads user and system time out of the text of /proc/PID/stat, whose clock ticks 100 times a second. The
// command's name in it is in parentheses and may contain anything, so fields are counted from the last of them.
func parseStat(text string) (cpu time.Duration, ok bool) {
	i := strings.LastIndexByte(text, ')')
	if i < 0 {
		return 0, false
	}
	fields := strings.Fields(text[i+1:])
	if len(fields) < 13 {
		return 0, false
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, false
	}
	return time.Duration(user+system) * (time.Second / 100), true
}

// Measure runs cmd to its end and tells what it used. Memory is sampled every few milliseconds.
func Measure(cmd *exec.Cmd) (Usage, error) {
	if err := cmd.Start(); err != nil {
		return Usage{}, err
	}
	exited := make(chan struct{})
	m := newMeter(cmd.Process.Pid, exited, 5*time.Millisecond)
	err := cmd.Wait()
	close(exited)
	return m.final(cmd.ProcessState), err
}

// Own is what this process has used so far; its CPU is 0 where the system does not tell.
func Own() Usage {
	u, _ := processUsage(os.Getpid())
	return u
}
