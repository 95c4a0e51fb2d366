package rival

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

type transmission struct{}

// Transmission drives transmission-daemon, without its remote control: a watched directory gives it the torrent. It has
// no way to be told a peer, and it refuses peers on 127.0.0.0/8.
func Transmission() Client { return transmission{} }

func (transmission) Name() string { return "transmission" }
func (transmission) Can() Abilities {
	a := bitTorrent
	a.Loopback = false
	return a
}

func (transmission) Find(ctx context.Context) (string, error) {
	return find(ctx, "transmission-daemon", "transmission-daemon", "--version")
}

// Seed is ready when the daemon has verified the files: it then runs the completion hook, as after a download.
func (t transmission) Seed(ctx context.Context, j Job) (*Instance, error) { return t.run(ctx, j, nil) }

func (t transmission) Leech(ctx context.Context, j Job) (*Instance, error) {
	return t.run(ctx, j, bound)
}

func (t transmission) run(ctx context.Context, j Job, parseLog func(string) (event, bool)) (*Instance, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	if j.Listen.Addr().IsLoopback() {
		return nil, fmt.Errorf("%w: Transmission takes every peer in 127.0.0.0/8 for a fake; give it a namespace of other addresses",
			ErrUnsupported)
	}
	watch := filepath.Join(j.Work, "watch")
	if err := os.MkdirAll(watch, 0o755); err != nil {
		return nil, fmt.Errorf("make watch directory: %w", err)
	}
	pipe := filepath.Join(j.Work, "events")
	done := filepath.Join(j.Work, "on-done")
	if err := hook(done, pipe, "done"); err != nil {
		return nil, err
	}
	settings, err := json.Marshal(t.settings(j, watch, done))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(j.Work, "settings.json"), settings, 0o644); err != nil {
		return nil, fmt.Errorf("write Transmission's settings: %w", err)
	}
	if err := t.put(j, watch); err != nil {
		return nil, err
	}
	return start(ctx, j, program{
		name: t.Name(), pipe: pipe, parse: parseHook, parseLog: parseLog,
		args: []string{"transmission-daemon", "--foreground", "--config-dir", j.Work, "--log-debug"},
	})
}

// put lays the torrent or magnet into the watched directory.
func (transmission) put(j Job, watch string) error {
	name, content := "job.magnet", []byte(j.magnet())
	if j.Torrent != "" {
		path, err := j.torrent()
		if err != nil {
			return err
		}
		if content, err = os.ReadFile(path); err != nil {
			return fmt.Errorf("read torrent: %w", err)
		}
		name = "job.torrent"
	}
	if err := os.WriteFile(filepath.Join(watch, name), content, 0o644); err != nil {
		return fmt.Errorf("give Transmission its torrent: %w", err)
	}
	return nil
}

func (transmission) settings(j Job, watch, done string) map[string]any {
	return map[string]any{
		"download-dir": j.Dir, "watch-dir": watch, "watch-dir-enabled": true, "start-added-torrents": true,
		"bind-address-ipv4": j.Listen.Addr().String(), "bind-address-ipv6": "::1", "peer-port": j.Listen.Port(),
		"port-forwarding-enabled": false, "dht-enabled": false, "lpd-enabled": false, "utp-enabled": false,
		"rpc-enabled": false, "incomplete-dir-enabled": false,
		"script-torrent-done-enabled": true, "script-torrent-done-filename": done,
		// kB/s of 1000 bytes
		"speed-limit-up-enabled": j.UpLimit > 0, "speed-limit-up": j.UpLimit / 1000,
		"speed-limit-down-enabled": j.DownLimit > 0, "speed-limit-down": j.DownLimit / 1000,
	}
}

// bound tells from the debug log that the daemon listens.
func bound(line string) (event, bool) {
	return event{ready: true}, strings.Contains(line, "Bound socket")
}
