package rival

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// ErrMissing is wrapped by Find where a program is not installed.
var ErrMissing = errors.New("missing")

// ErrUnsupported is wrapped by Seed and Leech where the program cannot do what the job asks.
var ErrUnsupported = errors.New("not supported by this client")

// A Client is one program that can seed and leech. Its methods may be called from several goroutines.
type Client interface {
	// Name as it stands in tables: "libtorrent", "aria2", …
	Name() string
	// Find says which version is installed; an error that wraps ErrMissing says what to install.
	Find(ctx context.Context) (version string, err error)
	// Can tells what it can do.
	Can() Abilities
	// Seed starts a program that offers Job.Dir/NAME, which is complete. Instance.Ready waits until it does.
	Seed(ctx context.Context, j Job) (*Instance, error)
	// Leech starts a program that fetches into Job.Dir. Instance.Wait waits until it is complete.
	Leech(ctx context.Context, j Job) (*Instance, error)
}

// A Restarter is a Client whose seed is started again by other means than Seed, with the Work that the ended one left.
type Restarter interface {
	Restart(ctx context.Context, j Job) (*Instance, error)
}

// A Teller is a Client of which a running instance can be asked what it is doing, in words or JSON for a reader.
type Teller interface {
	Tell(ctx context.Context, j Job, seed bool) []byte
}

// Abilities are what clients differ in.
type Abilities struct {
	Peers    bool // obeys Job.Peers; otherwise it learns of peers from trackers alone
	Trackers bool // announces itself to trackers
	Trees    bool // can transfer a directory, not only a file
	Limits   bool // obeys Job.UpLimit and Job.DownLimit
	Loopback bool // takes peers in 127.0.0.0/8
}

// bitTorrent is what nearly all of them can do.
var bitTorrent = Abilities{Trackers: true, Trees: true, Limits: true, Loopback: true}

// A Job is what one instance has to do.
type Job struct {
	// What: the path of a .torrent file, or for leechers a magnet link in its place. Handful's own leecher prefers Link,
	// and its seeder makes the torrent itself, of Job.Dir/NAME.
	Torrent string
	Magnet  string
	Link    string
	// Name of the file or directory below Dir; needed where there is no torrent file to read it from.
	Name string
	// PieceLength is for Handful's seeder, which makes its own torrent; 0 = its choice. Others take the torrent's.
	PieceLength int64

	// Dir holds NAME (seed), or will (leech). Work is for configuration, state and logs: a directory of this instance
	// alone, made if need be, left to the caller to remove.
	Dir, Work string

	// Listen is the address and port of this instance, both its own. Namespace is where it runs ("" = here).
	Listen    netip.AddrPort
	Namespace string

	// Peers to connect to from the start (see Abilities.Peers). Tracker replaces the torrent's trackers, if not "".
	Peers   []netip.AddrPort
	Tracker string

	// UpLimit and DownLimit are the program's own limits in bytes/s; 0 = none. Used where links cannot be shaped.
	UpLimit, DownLimit int64

	// Leave makes a leecher end when it is complete, if the program can; else it goes on as a seed.
	Leave bool

	// MachineID tells Handful's nodes on one machine apart.
	MachineID string

	// Env is added to the program's environment.
	Env []string
}

// Tools are the programs of this project, as built by Build.
type Tools struct{ Seed, Fetch, Stock, Liar string }

// All clients, ours first.
func All(t Tools) []Client {
	return []Client{
		Handful(t), Libtorrent(), LibtorrentSuper(), Aria2(), Transmission(), Rtorrent(), Stock(t), Nginx(),
	}
}

// BuildOptions: Only names the programs to build ("seed", "fetch", "stock", "liar"; empty = all), Env is added to the
// environment of the go command.
type BuildOptions struct{ Only, Env []string }

// Build builds this project's commands and the stock engine's client into dir with the go command. What does not build
// is left "" in Tools and explained in the error; the rest can be used.
func Build(ctx context.Context, dir string, o BuildOptions) (Tools, error) {
	var t Tools
	var errs []error
	for _, b := range []struct {
		name, pkg string
		to        *string
	}{
		{"seed", "handful/cmd/seed", &t.Seed},
		{"fetch", "handful/cmd/fetch", &t.Fetch},
		{"stock", "handful/bench/stock", &t.Stock},
		{"liar", "handful/bench/liar", &t.Liar},
	} {
		if len(o.Only) > 0 && !slices.Contains(o.Only, b.name) {
			continue
		}
		path := filepath.Join(dir, b.name)
		if runtime.GOOS == "windows" {
			path += ".exe"
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-o", path, b.pkg)
		cmd.Env = append(os.Environ(), o.Env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("build %s: %w: %.500s", b.pkg, err, strings.TrimSpace(string(out))))
			continue
		}
		*b.to = path
	}
	return t, errors.Join(errs...)
}

// Version looks a program up, of which it says in which Debian package it is, and asks it for its version with args.
func Version(ctx context.Context, program, pkg string, args ...string) (string, error) {
	return find(ctx, program, pkg, args...)
}

// find looks a program up and asks it for its version: the first word of its answer that starts with a digit.
func find(ctx context.Context, program, pkg string, args ...string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%w: no %s (Debian: %s)", ErrMissing, program, pkg)
	}
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if v := versionIn(string(out)); v != "" {
		return v, nil // several programs answer the question and exit with 1
	}
	return "", fmt.Errorf("%w: %s %s did not say its version: %.200q, %v", ErrMissing, path, strings.Join(args, " "), out, err)
}

// versionIn finds the first word that looks like a version: digits and a dot.
func versionIn(s string) string {
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\r\n/,()", r) }) {
		w = strings.TrimPrefix(w, "v")
		if w != "" && w[0] >= '0' && w[0] <= '9' && strings.Contains(w, ".") {
			return strings.TrimRight(w, ".:;")
		}
	}
	return ""
}

// prepare makes Job.Work and checks what every client needs.
func (j Job) prepare() error {
	if j.Work == "" || j.Dir == "" {
		return errors.New("job without Work or Dir")
	}
	if !j.Listen.IsValid() || j.Listen.Port() == 0 {
		return fmt.Errorf("job needs an address and a port to listen on, not %q", j.Listen)
	}
	if err := os.MkdirAll(j.Work, 0o755); err != nil {
		return fmt.Errorf("make working directory: %w", err)
	}
	return nil
}

// torrent returns the path of the torrent file to give to the program: the job's, or a copy with the job's tracker.
func (j Job) torrent() (string, error) {
	if j.Tracker == "" {
		return j.Torrent, nil
	}
	b, err := os.ReadFile(j.Torrent)
	if err != nil {
		return "", fmt.Errorf("read torrent: %w", err)
	}
	if b, err = WithTracker(b, j.Tracker); err != nil {
		return "", fmt.Errorf("set tracker of %s: %w", j.Torrent, err)
	}
	path := filepath.Join(j.Work, "job.torrent")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return "", fmt.Errorf("write torrent: %w", err)
	}
	return path, nil
}

// magnet returns the job's magnet with the job's tracker added.
func (j Job) magnet() string {
	if j.Tracker == "" {
		return j.Magnet
	}
	return j.Magnet + "&tr=" + escape(j.Tracker)
}

// name of the content below Dir.
func (j Job) name() (string, error) {
	if j.Name != "" || j.Torrent == "" {
		return j.Name, nil
	}
	m, err := ReadTorrent(j.Torrent)
	if err != nil {
		return "", err
	}
	return m.Name, nil
}
