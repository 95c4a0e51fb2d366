package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
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

// workDir makes a directory for a measurement: in memory where that is offered, so that the disk plays no part.
func workDir(dir string) (string, error) {
	if dir == "" {
		dir = os.TempDir()
		if s, err := os.Stat("/dev/shm"); err == nil && s.IsDir() {
			dir = "/dev/shm"
		}
	}
	made, err := os.MkdirTemp(dir, "handful-bench-")
	if err != nil {
		return "", fmt.Errorf("make working directory: %w", err)
	}
	return filepath.Abs(made)
}

// cores that programs can use.
func cores() int { return runtime.NumCPU() }
