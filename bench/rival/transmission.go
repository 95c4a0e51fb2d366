package rival

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"handful/bench/netns"
)

type transmission struct{}

// Transmission drives transmission-daemon: a watched directory gives it a torrent, its remote control a magnet. It has no
// way to be told a peer, and it refuses peers on 127.0.0.0/8.
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
	settings := t.settings(j, watch, done)
	var control netip.AddrPort
	if j.Torrent != "" {
		if err := t.put(j, watch); err != nil {
			return nil, err
		}
	} else {
		var err error
		if control, err = freePort(j.Namespace, j.Listen.Addr()); err != nil {
			return nil, err
		}
		maps.Copy(settings, map[string]any{
			"rpc-enabled": true, "rpc-bind-address": control.Addr().String(), "rpc-port": control.Port(),
			"rpc-whitelist-enabled": false, "rpc-host-whitelist-enabled": false,
		})
	}
	raw, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(j.Work, "settings.json"), raw, 0o644); err != nil {
		return nil, fmt.Errorf("write Transmission's settings: %w", err)
	}
	in, err := start(ctx, j, program{
		name: t.Name(), pipe: pipe, parse: parseHook, parseLog: parseLog,
		args: []string{"transmission-daemon", "--foreground", "--config-dir", j.Work, "--log-debug"},
	})
	if err != nil || j.Torrent != "" {
		return in, err
	}
	if err := errors.Join(in.Ready(ctx), addMagnet(ctx, j, control)); err != nil {
		in.Stop()
		return nil, fmt.Errorf("give Transmission its magnet: %w", err)
	}
	return in, nil
}

// put lays the torrent into the watched directory.
func (transmission) put(j Job, watch string) error {
	path, err := j.torrent()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read torrent: %w", err)
	}
	if err := os.WriteFile(filepath.Join(watch, "job.torrent"), content, 0o644); err != nil {
		return fmt.Errorf("give Transmission its torrent: %w", err)
	}
	return nil
}

// freePort finds a port that nobody listens on.
func freePort(namespace string, addr netip.Addr) (netip.AddrPort, error) {
	l, err := netns.Listen(namespace, netip.AddrPortFrom(addr, 0))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return netip.ParseAddrPort(l.Addr().String())
}

// addMagnet speaks Transmission's remote control: the first answer is 409 with a session id, which the second request
// carries. Magnets come no other way.
func addMagnet(ctx context.Context, j Job, control netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	body, err := json.Marshal(map[string]any{"method": "torrent-add", "arguments": map[string]any{"filename": j.magnet()}})
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return netns.Dial(ctx, j.Namespace, control)
	}}
	defer transport.CloseIdleConnections()
	const header = "X-Transmission-Session-Id"
	session := ""
	for range 2 {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+control.String()+"/transmission/rpc", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set(header, session)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		resp.Body.Close()
		switch {
		case err != nil:
			return err
		case resp.StatusCode == http.StatusConflict:
			session = resp.Header.Get(header)
		case resp.StatusCode == http.StatusOK && bytes.Contains(answer, []byte(`"success"`)):
			return nil
		default:
			return fmt.Errorf("%s: %.300s", resp.Status, answer)
		}
	}
	return fmt.Errorf("%s: session id refused", control)
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

// bound tells from the debug log that the daemon listens; its remote control is opened before.
func bound(line string) (event, bool) {
	return event{ready: true}, strings.Contains(line, "Watching ")
}
