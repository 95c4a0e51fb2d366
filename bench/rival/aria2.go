package rival

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
)

type aria2 struct{}

// Aria2 drives aria2c. It has no way to be told a peer: it needs a tracker.
func Aria2() Client { return aria2{} }

func (aria2) Name() string { return "aria2" }
func (aria2) Can() Abilities {
	return bitTorrent
}

func (aria2) Find(ctx context.Context) (string, error) {
	return find(ctx, "aria2c", "aria2", "--version")
}

func (a aria2) Seed(ctx context.Context, j Job) (*Instance, error) {
	return a.run(ctx, j, "--check-integrity=true", "--bt-hash-check-seed=true", "--allow-overwrite=true")
}

func (a aria2) Leech(ctx context.Context, j Job) (*Instance, error) {
	if j.Leave {
		return a.run(ctx, j, "--seed-time=0")
	}
	return a.run(ctx, j)
}

func (a aria2) run(ctx context.Context, j Job, more ...string) (*Instance, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	pipe := filepath.Join(j.Work, "events")
	done := filepath.Join(j.Work, "on-done")
	if err := hook(done, pipe, "done"); err != nil {
		return nil, err
	}
	args := []string{
		"aria2c", "--no-conf=true", "--dir=" + j.Dir, "--listen-port=" + strconv.Itoa(int(j.Listen.Port())),
		"--interface=" + j.Listen.Addr().String(), "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
		"--seed-ratio=0.0", "--file-allocation=none", "--follow-torrent=mem", "--bt-save-metadata=false",
		"--on-bt-download-complete=" + done, "--enable-color=false", "--summary-interval=0", "--show-console-readout=false",
		"--max-overall-upload-limit=" + strconv.FormatInt(j.UpLimit, 10),
		"--max-overall-download-limit=" + strconv.FormatInt(j.DownLimit, 10),
	}
	args = append(args, more...)
	if j.Torrent != "" {
		path, err := j.torrent()
		if err != nil {
			return nil, err
		}
		args = append(args, "--torrent-file="+path)
	} else {
		args = append(args, j.magnet())
	}
	in, err := start(ctx, j, program{name: a.Name(), args: args, pipe: pipe, parse: parseHook})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.Name(), err)
	}
	return in, nil
}
