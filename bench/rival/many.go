package rival

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// Many is an instance of Handful's with many torrents.
type Many struct {
	*Instance
	done *atomic.Int64
}

// Items is how many torrents a leecher has completed.
func (m *Many) Items() int { return int(m.done.Load()) }

// SeedMany starts a node of Handful's that seeds each of paths as a torrent of its own, as a publisher does: `seed serve`,
// and a `seed publish --no-wait` for each that is handed to it. It returns the links, in the order of paths.
func SeedMany(ctx context.Context, t Tools, j Job, paths []string) (*Many, []string, error) {
	if err := j.prepare(); err != nil {
		return nil, nil, err
	}
	h := handful{tools: t}
	in, err := start(ctx, j, program{name: "seed", args: append([]string{t.Seed, "serve"}, h.common(j)...), env: quiet,
		parse: func(line string) (event, bool) {
			if strings.HasPrefix(line, `{"type":"listening"`) {
				return event{ready: true}, true
			}
			return parseHandful(line)
		}})
	if err != nil {
		return nil, nil, err
	}
	m := &Many{Instance: in, done: new(atomic.Int64)}
	if err := in.Ready(ctx); err != nil {
		in.Stop()
		return nil, nil, err
	}
	var links []string
	for _, path := range paths {
		link, err := publishOne(ctx, t.Seed, filepath.Join(j.Work, "state"), path, j.PieceLength)
		if err != nil {
			in.Stop()
			return nil, nil, err
		}
		links = append(links, link)
	}
	return m, links, nil
}

// publishOne hands a path to the node that runs.
func publishOne(ctx context.Context, program, state, path string, pieceLength int64) (link string, err error) {
	args := []string{"publish", path, "--no-wait", "--json", "--state-dir", state}
	if pieceLength > 0 {
		args = append(args, "--piece-length", strconv.FormatInt(pieceLength, 10))
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), quiet...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("publish %s: %w: %.500s", path, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if e, ok := parseHandful(strings.TrimSpace(line)); ok && e.link != "" {
			return e.link, nil
		}
	}
	return "", fmt.Errorf("publish %s: no link in %.500s", path, out)
}

// LeechMany starts one node of Handful's that fetches the links, at most jobs at a time, in their order, and then goes on
// seeding. It is done when all are; Stats are sums.
func LeechMany(ctx context.Context, t Tools, j Job, links []string, jobs int) (*Many, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	list := filepath.Join(j.Work, "links")
	if err := os.WriteFile(list, []byte(strings.Join(links, "\n")+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("write links: %w", err)
	}
	h := handful{tools: t}
	args := append([]string{t.Fetch, "-i", list, "-j", strconv.Itoa(jobs), "-o", j.Dir, "--seed-for", "24h", "--timeout", "0"}, h.common(j)...)
	m := &Many{done: new(atomic.Int64)}
	var sum Stats // of the one goroutine that reads the output
	tiers := map[string]int64{}
	in, err := start(ctx, j, program{name: "fetch", args: args, env: quiet, parse: func(line string) (event, bool) {
		if strings.HasPrefix(line, `{"type":"warning"`) {
			var w struct{ Message string }
			_ = json.Unmarshal([]byte(line), &w)
			return event{failure: errors.New(w.Message)}, true
		}
		e, ok := parseHandful(line)
		if !ok || !e.done {
			return e, ok
		}
		sum.Received += e.stats.Received
		sum.Wasted += e.stats.Wasted
		sum.Uploaded += e.stats.Uploaded
		sum.Host += e.stats.Host
		tiers = maps.Clone(tiers) // the last was given away
		for tier, n := range e.tiers {
			tiers[tier] += n
		}
		now := sum
		e.stats, e.tiers = &now, tiers
		e.done = int(m.done.Add(1)) == len(links)
		return e, true
	}})
	if err != nil {
		return nil, err
	}
	m.Instance = in
	return m, nil
}
