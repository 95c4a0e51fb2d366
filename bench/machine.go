package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// machineTime is what all processors did since the start, in ticks, from the first line of /proc/stat.
type machineTime struct{ busy, total int64 }

// parseMachineTime reads the text of /proc/stat.
func parseMachineTime(text string) (machineTime, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return machineTime{}, fmt.Errorf("processor times: the first line is not \"cpu\" and 8 numbers: %.100q", line)
	}
	var m machineTime
	for i, word := range fields[1:9] { // user nice system idle iowait irq softirq steal; guests are in user
		v, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return machineTime{}, fmt.Errorf("processor times: %w", err)
		}
		m.total += v
		if i != 3 && i != 4 {
			m.busy += v
		}
	}
	return m, nil
}

// readMachineTime is zero where the system does not tell.
func readMachineTime() machineTime {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return machineTime{}
	}
	m, err := parseMachineTime(string(text))
	if err != nil {
		return machineTime{}
	}
	return m
}

// busySince is the share of the whole machine's processor time that was used, by anybody; -1 if not known.
func (m machineTime) busySince(before machineTime) float64 {
	if m.total <= before.total {
		return -1
	}
	return float64(m.busy-before.busy) / float64(m.total-before.total)
}

// describeMachine names the processor, its cores and the kernel, as far as the system tells.
func describeMachine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		model = cmp.Or(processorModel(string(text)), model)
	}
	kernel := runtime.GOOS
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel += " " + strings.TrimSpace(string(text))
	}
	return fmt.Sprintf("%s, %d cores, %s", model, cores(), kernel)
}

// processorModel reads the text of /proc/cpuinfo; "" where no model is named.
func processorModel(text string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// workDir makes a directory for a measurement: in memory where that is offered, so that the disk plays no part.
func workDir(dir string) (string, error) {
	if dir == "" {
		dir = os.TempDir()
		if s, err := os.Stat("/dev/shm"); err == nil && s.IsDir() {
			dir = "/dev/shm"
		}
	}
	removeLeftovers(dir)
	made, err := os.MkdirTemp(dir, fmt.Sprintf("%s%d-", workPrefix, os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("make working directory: %w", err)
	}
	return filepath.Abs(made)
}

// workPrefix opens the names of working directories; the maker's process id follows.
const workPrefix = "handful-bench-"

// removeLeftovers removes the working directories of runs that were killed: they may lie in memory. What cannot be
// removed is somebody else's.
func removeLeftovers(dir string) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range names {
		rest, ours := strings.CutPrefix(e.Name(), workPrefix)
		digits, _, ok := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(digits)
		if !ours || !ok || err != nil || !e.IsDir() || alive(pid) {
			continue
		}
		_ = os.RemoveAll(filepath.Join(dir, e.Name()))
	}
}

// alive tells whether a process exists, also one of somebody else.
func alive(pid int) bool {
	p, err := os.FindProcess(pid) // on Unix this never fails
	if err != nil {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}

// cores that programs can use.
func cores() int { return runtime.NumCPU() }
