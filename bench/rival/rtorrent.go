package rival

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

type rtorrent struct{}

// Rtorrent drives rtorrent in its daemon mode. Its peers come from a tracker. It runs its completion hook some 2 s after
// the last byte has come (seen on the wire), which stands in every time that is measured with it.
func Rtorrent() Client { return rtorrent{} }

func (rtorrent) Name() string { return "rtorrent" }
func (rtorrent) Can() Abilities {
	return bitTorrent
}

func (rtorrent) Find(ctx context.Context) (string, error) {
	return find(ctx, "rtorrent", "rtorrent", "-h")
}

func (r rtorrent) Seed(ctx context.Context, j Job) (*Instance, error)  { return r.run(ctx, j) }
func (r rtorrent) Leech(ctx context.Context, j Job) (*Instance, error) { return r.run(ctx, j) }

func (r rtorrent) run(ctx context.Context, j Job) (*Instance, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	pipe := filepath.Join(j.Work, "events")
	for _, word := range []string{"ready", "done"} {
		if err := hook(filepath.Join(j.Work, "on-"+word), pipe, word); err != nil {
			return nil, err
		}
	}
	what := j.magnet()
	if j.Torrent != "" {
		path, err := j.torrent()
		if err != nil {
			return nil, err
		}
		what = path
	}
	session := filepath.Join(j.Work, "session")
	if err := os.MkdirAll(session, 0o755); err != nil {
		return nil, fmt.Errorf("make rtorrent's session directory: %w", err)
	}
	port := strconv.Itoa(int(j.Listen.Port()))
	config := []string{
		"system.daemon.set = true",
		"session.path.set = " + quote(session),
		"directory.default.set = " + quote(j.Dir),
		"network.bind_address.set = " + j.Listen.Addr().String(),
		"network.port_range.set = " + port + "-" + port,
		"network.port_random.set = no",
		"dht.mode.set = disable",
		"protocol.pex.set = yes",
		"trackers.use_udp.set = no",
		"throttle.global_up.max_rate.set_kb = " + strconv.FormatInt(j.UpLimit/1024, 10),
		"throttle.global_down.max_rate.set_kb = " + strconv.FormatInt(j.DownLimit/1024, 10),
		"method.set_key = event.download.finished, bench, \"execute.nothrow.bg=" + filepath.Join(j.Work, "on-done") + "\"",
		"method.set_key = event.download.hash_done, bench, \"execute.nothrow.bg=" + filepath.Join(j.Work, "on-ready") + "\"",
		"load.start = " + quote(what),
	}
	path := filepath.Join(j.Work, "rtorrent.rc")
	if err := os.WriteFile(path, []byte(strings.Join(config, "\n")+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("write rtorrent's configuration: %w", err)
	}
	return start(ctx, j, program{
		name: r.Name(), pipe: pipe, parse: parseHook, env: []string{"TERM=dumb"},
		args: []string{"rtorrent", "-n", "-o", "import=" + path},
	})
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }
