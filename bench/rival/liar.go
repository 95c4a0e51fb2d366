package rival

import (
	"context"
	"fmt"
	"path/filepath"
)

type liar struct{ program string }

// Liar drives bench/liar, a peer that claims every piece and corrupts one block in four. It is nobody's rival, so it is not
// among All. Its Seed and its Leech are the same: Job.Dir holds the true content, which it only reads.
func Liar(t Tools) Client { return liar{program: t.Liar} }

func (liar) Name() string { return "liar" }

func (liar) Can() Abilities { return Abilities{Trackers: true, Loopback: true} }

func (l liar) Find(context.Context) (string, error) {
	if l.program == "" {
		return "", fmt.Errorf("%w: bench/liar was not built", ErrMissing)
	}
	return "this tree", nil
}

func (l liar) Seed(ctx context.Context, j Job) (*Instance, error) {
	if j.UpLimit > 0 || j.DownLimit > 0 {
		return nil, fmt.Errorf("%w: a limit", ErrUnsupported)
	}
	if err := j.prepare(); err != nil {
		return nil, err
	}
	name, err := j.name()
	if err != nil {
		return nil, err
	}
	path, err := j.torrent()
	if err != nil {
		return nil, err
	}
	args := []string{l.program, "-listen", j.Listen.String(), "-torrent", path, "-content", filepath.Join(j.Dir, name)}
	return start(ctx, j, program{name: l.Name(), args: args, parse: parseJSON})
}

func (l liar) Leech(ctx context.Context, j Job) (*Instance, error) { return l.Seed(ctx, j) }
