// Command liar is a peer that cannot be trusted, for measurements of what one does to a swarm. It is the engine with its
// default settings, it announces every piece from the start, and of the blocks (16 KiB) that it serves it corrupts every
// fourth: one bit in the middle of each.
//
//	liar -listen HOST:PORT -torrent FILE -content PATH
//
// PATH is the torrent's content, a single file, which it reads and never writes. It prints JSON Lines: {"type":"ready"}, and
// when it is told to stop {"type":"stats",…} with the payload bytes uploaded.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/anacrolix/torrent"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		say(map[string]any{"type": "error", "message": err.Error()})
		fmt.Fprintln(os.Stderr, "liar: error:", err)
		os.Exit(1)
	}
}

func say(line map[string]any) { _ = json.NewEncoder(os.Stdout).Encode(line) }

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("liar", flag.ContinueOnError)
	listen := flags.String("listen", "", "own `host:port`")
	file := flags.String("torrent", "", "`path` of a .torrent")
	content := flags.String("content", "", "`path` of its content")
	if err := flags.Parse(args); err != nil {
		return err
	}
	host, service, err := net.SplitHostPort(*listen)
	if err != nil {
		return fmt.Errorf("-listen %q: %w", *listen, err)
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return fmt.Errorf("-listen %q: %w", *listen, err)
	}
	source, err := os.Open(*content)
	if err != nil {
		return fmt.Errorf("-content: %w", err)
	}
	defer source.Close()
	cfg := torrent.NewDefaultClientConfig()
	cfg.ListenHost = func(string) string { return host }
	cfg.ListenPort = port
	cfg.DisableUTP = true
	cfg.DisableIPv6 = true
	cfg.NoDHT = true
	cfg.NoDefaultPortForwarding = true
	cfg.Seed = true
	cfg.DefaultStorage = &lies{source: source}
	client, err := torrent.NewClient(cfg)
	if err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	defer client.Close()
	t, err := client.AddTorrentFromFile(*file)
	if err != nil {
		return fmt.Errorf("add %s: %w", *file, err)
	}
	if missing := t.BytesMissing(); missing > 0 {
		return errors.New("the engine does not take the content for complete")
	}
	say(map[string]any{"type": "ready"})
	<-ctx.Done()
	s := t.Stats()
	say(map[string]any{"type": "stats", "received": 0, "wasted": 0, "uploaded": s.BytesWrittenData.Int64()})
	return nil
}
