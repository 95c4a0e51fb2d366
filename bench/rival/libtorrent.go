package rival

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// debianPython is the interpreter that Debian's python3-libtorrent belongs to; a newer one in front of it on the PATH
// does not have the module.
const debianPython = "/usr/bin/python3"

//go:embed session.py
var libtorrentScript []byte

type libtorrent struct{ super bool }

// Libtorrent drives libtorrent-rasterbar through its Python binding, with default settings but for what doc.go says.
func Libtorrent() Client { return libtorrent{} }

// LibtorrentSuper is libtorrent with a super-seeding seed (BEP 16); its leechers are the same.
func LibtorrentSuper() Client { return libtorrent{super: true} }

func (l libtorrent) Name() string {
	if l.super {
		return "libtorrent-super"
	}
	return "libtorrent"
}

func (l libtorrent) Can() Abilities {
	a := bitTorrent
	a.Peers = true
	return a
}

func (l libtorrent) Find(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, debianPython, "-c", "import libtorrent; print(libtorrent.__version__)").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: no libtorrent for %s (Debian: python3-libtorrent)", ErrMissing, debianPython)
	}
	return versionIn(string(out)), nil
}

func (l libtorrent) Seed(ctx context.Context, j Job) (*Instance, error) {
	return l.run(ctx, j, true)
}

func (l libtorrent) Leech(ctx context.Context, j Job) (*Instance, error) { return l.run(ctx, j, false) }

func (l libtorrent) run(ctx context.Context, j Job, seed bool) (*Instance, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	script := filepath.Join(j.Work, "session.py")
	if err := os.WriteFile(script, libtorrentScript, 0o644); err != nil {
		return nil, fmt.Errorf("write libtorrent's driver: %w", err)
	}
	job := map[string]any{
		"listen": j.Listen.String(), "host": j.Listen.Addr().String(), "dir": j.Dir, "up": j.UpLimit, "down": j.DownLimit,
		"seed": seed, "super": seed && l.super, "torrent": "", "magnet": "",
	}
	if j.Torrent != "" {
		path, err := j.torrent()
		if err != nil {
			return nil, err
		}
		job["torrent"] = path
	} else {
		job["magnet"] = j.magnet()
	}
	peers := [][2]any{}
	for _, p := range j.Peers {
		peers = append(peers, [2]any{p.Addr().String(), p.Port()})
	}
	job["peers"] = peers
	arg, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	return start(ctx, j, program{
		name: l.Name(), args: []string{debianPython, script, string(arg)}, parse: parseJSON,
	})
}

// parseJSON understands the lines of session.py and of bench/stock.
func parseJSON(line string) (event, bool) {
	var m struct {
		Type     string
		Message  string
		Received *int64
		Wasted   *int64
		Uploaded *int64
	}
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		return event{}, false
	}
	e := event{ready: m.Type == "ready", done: m.Type == "done"}
	if m.Type == "error" {
		e.failure = errors.New(m.Message)
	}
	if m.Received != nil && m.Wasted != nil && m.Uploaded != nil {
		e.stats = &Stats{Received: *m.Received, Wasted: *m.Wasted, Uploaded: *m.Uploaded, Host: -1}
	}
	return e, true
}

// LibtorrentCreate is a command that hashes the file at path as libtorrent does for a new torrent. flags: v1_only,
// v2_only, or 0 for a hybrid.
func LibtorrentCreate(path, flags string, pieceLength int64) []string {
	const script = `
import os, sys
import libtorrent as lt
path, flags, piece = sys.argv[1], sys.argv[2], int(sys.argv[3])
files = lt.file_storage()
lt.add_files(files, path)
made = lt.create_torrent(files, piece, 0 if flags == "0" else getattr(lt.create_torrent, flags))
lt.set_piece_hashes(made, os.path.dirname(path))
lt.bencode(made.generate())
`
	return []string{debianPython, "-c", script, path, flags, strconv.FormatInt(pieceLength, 10)}
}
