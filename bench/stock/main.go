// Command stock is the engine's own client, as it comes, for measurements beside ours: one torrent, over TCP, with the
// engine's default settings but for what must differ to be measured: no DHT, no uTP (this module is built without it), no port
// mapping, no limit lower than asked for, piece completion in memory, and uploading allowed while it downloads.
//
//	stock -listen HOST:PORT -dir DIR (-torrent FILE | -magnet LINK) [-seed] [-up N] [-down N] [PEER]...
//
// It prints JSON Lines: {"type":"ready"}, {"type":"done",…}, and when it is told to stop {"type":"stats",…} with the
// payload bytes received, wasted (received twice, or not asked for) and uploaded.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/storage"
	"golang.org/x/time/rate"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		say(map[string]any{"type": "error", "message": err.Error()})
		fmt.Fprintln(os.Stderr, "stock: error:", err)
		os.Exit(1)
	}
}

func say(line map[string]any) { _ = json.NewEncoder(os.Stdout).Encode(line) }

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("stock", flag.ContinueOnError)
	listen := flags.String("listen", "", "own `host:port`")
	dir := flags.String("dir", "", "directory of the content")
	file := flags.String("torrent", "", "`path` of a .torrent")
	magnet := flags.String("magnet", "", "magnet `link`")
	seed := flags.Bool("seed", false, "the content is there: check it, then say ready")
	up := flags.Int64("up", 0, "upload limit, bytes/s; 0 = none")
	down := flags.Int64("down", 0, "download limit, bytes/s; 0 = none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg, err := config(*listen, *up, *down)
	if err != nil {
		return err
	}
	cfg.DefaultStorage = storage.NewFileOpts(storage.NewFileClientOpts{
		ClientBaseDir: *dir, PieceCompletion: storage.NewMapPieceCompletion(),
	})
	client, err := torrent.NewClient(cfg)
	if err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	defer client.Close()
	t, err := add(client, *file, *magnet)
	if err != nil {
		return err
	}
	var peers []torrent.PeerInfo
	for _, p := range flags.Args() {
		addr, err := net.ResolveTCPAddr("tcp", p)
		if err != nil {
			return fmt.Errorf("peer %q: %w", p, err)
		}
		peers = append(peers, torrent.PeerInfo{Addr: addr, Source: torrent.PeerSourceDirect})
	}
	t.AddPeers(peers)
	return transfer(ctx, t, *seed)
}

func config(listen string, up, down int64) (*torrent.ClientConfig, error) {
	host, service, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("-listen %q: %w", listen, err)
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return nil, fmt.Errorf("-listen %q: %w", listen, err)
	}
	cfg := torrent.NewDefaultClientConfig()
	cfg.ListenHost = func(string) string { return host }
	cfg.ListenPort = port
	cfg.DisableUTP = true
	cfg.DisableIPv6 = true
	cfg.NoDHT = true
	cfg.NoDefaultPortForwarding = true
	cfg.Seed = true
	if up > 0 {
		cfg.UploadRateLimiter = rate.NewLimiter(rate.Limit(up), 1<<18)
	}
	if down > 0 {
		cfg.DownloadRateLimiter = rate.NewLimiter(rate.Limit(down), 1<<18)
	}
	return cfg, nil
}

func add(client *torrent.Client, file, magnet string) (*torrent.Torrent, error) {
	if file != "" {
		t, err := client.AddTorrentFromFile(file)
		if err != nil {
			return nil, fmt.Errorf("add %s: %w", file, err)
		}
		return t, nil
	}
	t, err := client.AddMagnet(magnet)
	if err != nil {
		return nil, fmt.Errorf("add magnet: %w", err)
	}
	return t, nil
}

// transfer runs until it is told to stop.
func transfer(ctx context.Context, t *torrent.Torrent, seed bool) error {
	select {
	case <-t.GotInfo():
	case <-ctx.Done():
		say(counters("stats", t))
		return nil
	}
	if seed {
		if err := t.VerifyDataContext(ctx); err != nil {
			return fmt.Errorf("check content: %w", err)
		}
		if t.BytesMissing() > 0 {
			return fmt.Errorf("content is not complete: %d bytes are missing or wrong", t.BytesMissing())
		}
	} else {
		say(map[string]any{"type": "ready"})
		t.DownloadAll()
	}
	select {
	case <-t.Complete().On():
		say(counters("done", t))
		<-ctx.Done()
	case <-ctx.Done():
	}
	say(counters("stats", t))
	return nil
}

func counters(kind string, t *torrent.Torrent) map[string]any {
	s := t.Stats()
	received := s.BytesReadData.Int64()
	return map[string]any{
		"type": kind, "received": received, "wasted": received - s.BytesReadUsefulData.Int64(), "uploaded": s.BytesWrittenData.Int64(),
	}
}
