package rival

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

type handful struct{ tools Tools }

// Handful drives this project's own `seed publish` and `fetch`, by the JSON Lines that they promise.
func Handful(t Tools) Client { return handful{tools: t} }

func (handful) Name() string { return "handful" }
func (handful) Can() Abilities {
	a := bitTorrent
	a.Peers = true
	return a
}

func (h handful) Find(ctx context.Context) (string, error) {
	if h.tools.Seed == "" || h.tools.Fetch == "" {
		return "", fmt.Errorf("%w: cmd/seed and cmd/fetch were not built", ErrMissing)
	}
	return "this tree", nil
}

func (h handful) Seed(ctx context.Context, j Job) (*Instance, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	name, err := j.name()
	if err != nil {
		return nil, err
	}
	args := append([]string{h.tools.Seed, "publish", filepath.Join(j.Dir, name)}, h.common(j)...)
	if j.PieceLength > 0 {
		args = append(args, "--piece-length", strconv.FormatInt(j.PieceLength, 10))
	}
	return start(ctx, j, program{name: "seed", args: args, env: quiet, parse: parseHandful})
}

// Restart seeds what was published before, as after a crash: `seed serve`, which knows it from the state directory. It is
// ready when it listens; its content is checked beside that.
func (h handful) Restart(ctx context.Context, j Job) (*Instance, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	args := append([]string{h.tools.Seed, "serve"}, h.common(j)...)
	return start(ctx, j, program{name: "seed", args: args, env: quiet, parse: parseServe})
}

// Tell asks a node over its control socket.
func (h handful) Tell(ctx context.Context, j Job, seed bool) []byte {
	tool := h.tools.Fetch
	if seed {
		tool = h.tools.Seed
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, "status", "--json", "--state-dir", filepath.Join(j.Work, "state"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		out = fmt.Appendf(out, "status: %v\n", err)
	}
	return out
}

func (h handful) Leech(ctx context.Context, j Job) (*Instance, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	what := j.Link
	switch {
	case what != "":
	case j.Torrent != "":
		path, err := j.torrent()
		if err != nil {
			return nil, err
		}
		what, j.Tracker = path, ""
	default:
		what, j.Tracker = j.magnet(), ""
	}
	args := append([]string{h.tools.Fetch, what, "-o", j.Dir}, h.common(j)...)
	for _, p := range j.Peers {
		args = append(args, "--peer", p.String())
	}
	stay := "24h"
	if j.Leave {
		stay = "0"
	}
	args = append(args, "--seed-for", stay)
	return start(ctx, j, program{name: "fetch", args: args, env: quiet, parse: parseHandful})
}

// quiet keeps a node to the peers that it is told of, as the others are kept.
var quiet = []string{"HANDFUL_DHT=false"}

// common arguments of both commands.
func (h handful) common(j Job) []string {
	args := []string{"--json", "--listen", j.Listen.String(), "--state-dir", filepath.Join(j.Work, "state")}
	if j.Tracker != "" {
		args = append(args, "--tracker", j.Tracker)
	}
	if j.MachineID != "" {
		args = append(args, "--machine-id", j.MachineID)
	}
	if j.UpLimit > 0 {
		args = append(args, "--limit-up", strconv.FormatInt(j.UpLimit, 10))
	}
	if j.DownLimit > 0 {
		args = append(args, "--limit-down", strconv.FormatInt(j.DownLimit, 10))
	}
	if j.UpLimit > 0 || j.DownLimit > 0 {
		args = append(args, "--limit-lan") // all peers of a run are near, and the limit stands for the line
	}
	return args
}

// parseServe understands the JSON Lines of `seed serve`.
func parseServe(line string) (event, bool) {
	var m struct{ Type string }
	if err := json.Unmarshal([]byte(line), &m); err == nil && m.Type == "listening" {
		return event{ready: true}, true
	}
	return parseHandful(line)
}

// parseHandful understands the JSON Lines of seed and fetch.
func parseHandful(line string) (event, bool) {
	var m struct {
		Type     string
		Link     string
		Torrent  string
		Message  string
		Hint     string
		Code     int
		Received map[string]int64
		Wasted   int64
		Uploaded int64
	}
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		return event{}, false
	}
	switch m.Type {
	case "published":
		return event{ready: true, link: m.Link, torrent: m.Torrent}, true
	case "done":
		s := Stats{Wasted: m.Wasted, Uploaded: m.Uploaded, Received: m.Wasted, Host: m.Received["host"]}
		for from, n := range m.Received {
			if from != "reused" { // was on disk before
				s.Received += n
			}
		}
		return event{done: true, stats: &s, tiers: m.Received}, true
	case "error":
		return event{failure: errors.New("code " + strconv.Itoa(m.Code) + ": " + m.Message + " (" + m.Hint + ")")}, true
	}
	return event{}, false
}
