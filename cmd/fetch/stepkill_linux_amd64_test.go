package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// stepKill runs a program and kills it, as kill -9 does, when it is about to make its n-th step: a system call that
// changes what is on disk, or one that prints. What happens between two steps leaves nothing behind, so that killing at
// each of them is killing at every moment. The program is the real one; it is traced (ptrace), and does not know.
//
//	STEPKILL_PROGRAM  the program; its arguments are those of stepKill
//	STEPKILL_AT       n, from 1 on; 0: it is not killed
//	STEPKILL_REPORT   file that gets the steps, one a line; the last of a program that was killed was not made
//
// Programs that it starts, hooks, are neither traced nor killed.
func stepKill() {
	if err := stepKilled(); err != nil {
		fmt.Fprintln(os.Stderr, "stepkill:", err)
		os.Exit(99)
	}
}

func stepKilled() error {
	runtime.LockOSThread() // a traced process obeys the thread that has started it
	at, err := strconv.Atoi(os.Getenv("STEPKILL_AT"))
	if err != nil {
		return err
	}
	report, err := os.OpenFile(os.Getenv("STEPKILL_REPORT"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer report.Close()
	cmd := exec.Command(os.Getenv("STEPKILL_PROGRAM"), os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return err
	}
	const exitKill = 0x100000 // PTRACE_O_EXITKILL: it ends with us
	if err := syscall.PtraceSetOptions(pid, syscall.PTRACE_O_TRACESYSGOOD|syscall.PTRACE_O_TRACECLONE|exitKill); err != nil {
		return err
	}
	if err := syscall.PtraceSyscall(pid, 0); err != nil {
		return err
	}
	return traceSteps(pid, at, report)
}

// traceSteps lets all threads of a process run from one system call to the next.
func traceSteps(pid, at int, report *os.File) error {
	made := 0
	for {
		var status syscall.WaitStatus
		thread, err := syscall.Wait4(-1, &status, syscall.WALL, nil)
		if err != nil {
			return err
		}
		if status.Exited() || status.Signaled() {
			if thread != pid {
				continue
			}
			if status.Exited() {
				os.Exit(status.ExitStatus())
			}
			os.Exit(128 + int(status.Signal()))
		}
		deliver := 0
		switch sig := status.StopSignal(); {
		case sig == syscall.SIGTRAP|0x80: // a system call begins or ends
			if step := stepOf(pid, thread); step != "" {
				made++
				fmt.Fprintln(report, step)
				if made == at {
					if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
						return err
					}
					continue // its end is next
				}
			}
		case sig == syscall.SIGTRAP, sig == syscall.SIGSTOP: // a new thread
		default:
			deliver = int(sig)
		}
		if err := syscall.PtraceSyscall(thread, deliver); err != nil && err != syscall.ESRCH {
			return err
		}
	}
}

// syscallInfo is what PTRACE_GET_SYSCALL_INFO says about a system call that begins.
type syscallInfo struct {
	op   uint8 // 1 = it begins
	_    [3]uint8
	arch uint32
	_    [2]uint64 // instruction and stack pointers
	nr   uint64
	args [6]uint64
}

// stepOf names the step that a thread is about to make, "" if it is none.
func stepOf(pid, thread int) string {
	const getSyscallInfo = 0x420e
	var info syscallInfo
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(thread), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || info.op != 1 {
		return ""
	}
	name := stepNames[info.nr]
	switch info.nr {
	case syscall.SYS_FSYNC, syscall.SYS_FDATASYNC, syscall.SYS_FTRUNCATE, syscall.SYS_PWRITE64, syscall.SYS_FALLOCATE:
		return name + " " + fileOf(pid, info.args[0])
	case syscall.SYS_WRITE:
		file := fileOf(pid, info.args[0])
		if info.args[0] == 1 {
			return "print"
		}
		if !strings.HasPrefix(file, "/") || strings.HasPrefix(file, "/dev/") || strings.HasPrefix(file, "/proc/") || strings.HasPrefix(file, "/sys/") {
			return "" // sockets, pipes
		}
		return name + " " + file
	case copyFileRange:
		return name + " " + fileOf(pid, info.args[2])
	case syscall.SYS_FCHMOD:
		return name + " " + fileOf(pid, info.args[0])
	case syscall.SYS_FCHMODAT, syscall.SYS_UTIMENSAT:
		return name + " " + textAt(thread, info.args[1])
	case syscall.SYS_RENAMEAT, renameat2:
		return name + " " + textAt(thread, info.args[3])
	case syscall.SYS_UNLINKAT, syscall.SYS_MKDIRAT, syscall.SYS_SYMLINKAT, syscall.SYS_LINKAT:
		return name + " " + textAt(thread, info.args[1])
	case syscall.SYS_OPENAT:
		if info.args[2]&(syscall.O_CREAT|syscall.O_TRUNC) == 0 {
			return ""
		}
		return name + " " + textAt(thread, info.args[1])
	}
	return oldStepOf(thread, info)
}

const (
	renameat2     = 316
	copyFileRange = 326
)

var stepNames = map[uint64]string{
	syscall.SYS_FSYNC: "fsync", syscall.SYS_FDATASYNC: "fdatasync", syscall.SYS_FTRUNCATE: "truncate", syscall.SYS_PWRITE64: "write",
	syscall.SYS_FALLOCATE: "allocate", syscall.SYS_WRITE: "write", syscall.SYS_RENAMEAT: "rename", renameat2: "rename",
	syscall.SYS_UNLINKAT: "remove", syscall.SYS_MKDIRAT: "mkdir", syscall.SYS_SYMLINKAT: "symlink", syscall.SYS_LINKAT: "link", syscall.SYS_OPENAT: "create",
	copyFileRange: "copy", syscall.SYS_FCHMOD: "chmod", syscall.SYS_FCHMODAT: "chmod", syscall.SYS_UTIMENSAT: "times",
}

// oldStepOf knows the calls that newer architectures do without.
func oldStepOf(thread int, info syscallInfo) string {
	switch info.nr {
	case syscall.SYS_RENAME:
		return "rename " + textAt(thread, info.args[1])
	case syscall.SYS_UNLINK, syscall.SYS_RMDIR:
		return "remove " + textAt(thread, info.args[0])
	case syscall.SYS_MKDIR:
		return "mkdir " + textAt(thread, info.args[0])
	case syscall.SYS_LINK, syscall.SYS_SYMLINK:
		return "link " + textAt(thread, info.args[1])
	}
	return ""
}

// fileOf returns the path of an open file of a process.
func fileOf(pid int, fd uint64) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	if err != nil {
		return "?"
	}
	return path
}

// textAt reads a path out of the memory of a thread.
func textAt(thread int, at uint64) string {
	b := make([]byte, 256)
	n, _ := syscall.PtracePeekData(thread, uintptr(at), b)
	text, _, _ := strings.Cut(string(b[:n]), "\x00")
	return text
}
