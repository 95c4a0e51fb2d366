package rival

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
)

type stock struct{ program string }

// Stock drives the engine that this project stands on, by itself: the program bench/stock.
func Stock(t Tools) Client { return stock{program: t.Stock} }

func (s stock) Name() string { return "stock-engine" }

func (s stock) Can() Abilities {
	a := bitTorrent
	a.Peers = true
	return a
}

// engineModule is the engine's path in the module graph.
const engineModule = "github.com/anacrolix/torrent"

func (s stock) Find(context.Context) (string, error) {
	if s.program == "" {
		return "", fmt.Errorf("%w: bench/stock was not built", ErrMissing)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == engineModule {
				return d.Version, nil
			}
		}
	}
	return "unknown", nil
}

func (s stock) Seed(ctx context.Context, j Job) (*Instance, error)  { return s.run(ctx, j, true) }
func (s stock) Leech(ctx context.Context, j Job) (*Instance, error) { return s.run(ctx, j, false) }

func (s stock) run(ctx context.Context, j Job, seed bool) (*Instance, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	args := []string{s.program, "-listen", j.Listen.String(), "-dir", j.Dir,
		"-up", strconv.FormatInt(j.UpLimit, 10), "-down", strconv.FormatInt(j.DownLimit, 10)}
	if seed {
		args = append(args, "-seed")
	}
	if j.Torrent != "" {
		path, err := j.torrent()
		if err != nil {
			return nil, err
		}
		args = append(args, "-torrent", path)
	} else {
		args = append(args, "-magnet", j.magnet())
	}
	for _, p := range j.Peers {
		args = append(args, p.String())
	}
	return start(ctx, j, program{name: s.Name(), args: args, parse: parseJSON})
}
