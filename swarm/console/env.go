package console

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/term"
)

// Env is the world around one command: that of the process, or that of a client
// whose request a running node has taken. Verbs use it and never package os's
// process-wide values, because in a node many commands run in one process.
type Env struct {
	Name   string   // the binary: "seed" or "fetch"
	Args   []string // without the binary's name
	Dir    string   // absolute; what relative paths are relative to
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Lookup func(name string) (value string, ok bool)
	Width  func() int       // columns of the terminal that stderr is; 0 = no terminal
	Now    func() time.Time // the wall clock

	// Held is the running node that this command has been handed to; nil in a
	// process of its own.
	Held *Held
}

// Held says in which node a command runs that was handed over.
type Held struct {
	StateDir string // absolute
	Verb     string // what the node was started as: "serve", "publish", "fetch"
	Node     any    // the binary's own node; its verbs know the type
	// Flags are the values that the node was started with of the flags that
	// shape a whole node (see Node), by name.
	Flags map[string]string
}

// OSEnv returns the environment of this process for the binary name.
func OSEnv(name string) (*Env, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, &Fault{Code: Failed, Message: "the current directory cannot be named", Hint: "change to a directory that exists", Err: err}
	}
	return &Env{
		Name: name, Args: os.Args[1:], Dir: dir,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Lookup: os.LookupEnv,
		Width:  func() int { return terminalWidth(os.Stderr) },
		Now:    time.Now,
	}, nil
}

func terminalWidth(f *os.File) int {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) || !understandsEscapes(f) {
		return 0
	}
	w, _, err := term.GetSize(fd)
	if err != nil || w <= 0 {
		return 80
	}
	return w
}

// Terminal reports whether a person watches: stderr is a terminal.
func (e *Env) Terminal() bool { return e.Width() > 0 }

// Get returns the value of an environment variable, empty when it is unset.
func (e *Env) Get(name string) string {
	v, _ := e.Lookup(name)
	return v
}

// Path makes a path that a user gave absolute.
func (e *Env) Path(p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(e.Dir, p)
}

// StateDir is the state directory of this binary: flag (the value of
// --state-dir, empty when it was not given), else $STATE_DIRECTORY (its first
// directory, as systemd sets it), else $XDG_STATE_HOME or the system's custom
// place plus "handful"; and in it the binary's name. A command handed to a node
// uses the node's.
func (e *Env) StateDir(flag string) (string, error) {
	if e.Held != nil {
		return e.Held.StateDir, nil
	}
	base := flag
	if base == "" {
		if list := filepath.SplitList(e.Get("STATE_DIRECTORY")); len(list) > 0 {
			base = list[0]
		}
	}
	if base == "" {
		home, err := e.stateHome()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, "handful")
	}
	return filepath.Join(e.Path(base), e.Name), nil
}

// stateHome is the user's place for state: $XDG_STATE_HOME, else ~/.local/state,
// on Windows %LocalAppData%.
func (e *Env) stateHome() (string, error) {
	if dir := e.Get("XDG_STATE_HOME"); filepath.IsAbs(dir) { // the XDG rule: a relative one is ignored
		return dir, nil
	}
	if runtime.GOOS == "windows" {
		if dir := e.Get("LocalAppData"); dir != "" {
			return dir, nil
		}
	} else if home := e.Get("HOME"); home != "" {
		return filepath.Join(home, ".local", "state"), nil
	}
	return "", Usagef("give --state-dir DIR, or set HOME or XDG_STATE_HOME", "there is no place for state: neither HOME nor XDG_STATE_HOME is set")
}
