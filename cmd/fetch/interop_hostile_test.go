package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"

	"handful/bench/netns"
	"handful/bench/rival"
	"handful/manifest"
)

// twoFaced writes a hybrid whose v1 hashes are those of one directory and whose file tree is that of another with files
// of the same names and sizes.
func twoFaced(ctx context.Context, v1, v2, file string) (*manifest.Torrent, error) {
	var tops, infos [2]map[string]bencode.Bytes
	for i, dir := range []string{v1, v2} {
		t, _, err := manifest.Build(ctx, []string{dir}, manifest.BuildOptions{Format: manifest.FormatHybrid, PieceLength: 32 << 10})
		if err != nil {
			return nil, err
		}
		if err := errors.Join(bencode.Unmarshal(t.Bytes(), &tops[i]), bencode.Unmarshal(t.InfoBytes, &infos[i])); err != nil {
			return nil, err
		}
	}
	infos[0]["file tree"] = infos[1]["file tree"]
	info, err := bencode.Marshal(infos[0])
	if err != nil {
		return nil, err
	}
	tops[1]["info"] = info
	b, err := bencode.Marshal(tops[1])
	if err != nil {
		return nil, err
	}
	t, err := manifest.Parse(b)
	if err != nil {
		return nil, err
	}
	return t, os.WriteFile(file, b, 0o666)
}

// contradiction fetches a torrent whose v1 and v2 hashes name different bytes from a client that knows SHA-1 only.
func (in *interop) contradiction(ctx context.Context, byMagnet bool) error {
	dir := filepath.Join(in.dir, fmt.Sprint("contradiction-", byMagnet))
	sizes := []int{1, 100, 16 << 10, 32 << 10, 100_000, 300_001}
	one, two := filepath.Join(dir, "one", "tree"), filepath.Join(dir, "two", "tree")
	if err := errors.Join(makeTree(one, 1, sizes), makeTree(two, 1, sizes)); err != nil {
		return err
	}
	// One file of several pieces differs in its last byte, all else is the same.
	if err := changeLastByte(two, 300_001); err != nil {
		return err
	}
	file := filepath.Join(dir, "two-faced.torrent")
	t, err := twoFaced(ctx, one, two, file)
	if err != nil {
		return err
	}
	from := in.next()
	seed, err := rival.Stock(in.tools).Seed(ctx, rival.Job{
		Torrent: file, Dir: filepath.Dir(one), Work: filepath.Join(dir, "seed"), Listen: from, Namespace: in.namespace,
	})
	if err != nil {
		return err
	}
	defer seed.Stop()
	if err := seed.Ready(ctx); err != nil {
		return err
	}
	what := file
	if byMagnet {
		what = t.Magnet(nil, nil)
	}
	out := filepath.Join(dir, "out")
	c, err := in.start(ctx, in.tools.Fetch, filepath.Join(dir, "fetch"), what, "-o", out,
		"--peer", from.String(), "--listen", in.next().String(), "--timeout", "60s", "--seed-for", "0")
	if err != nil {
		return err
	}
	defer c.stop()
	code, lines, err := c.finish(ctx)
	if err != nil {
		return err
	}
	if code != 13 {
		return fmt.Errorf("fetch ended with %d, want 13:\n%s", code, c.tail())
	}
	for _, l := range lines {
		if l.Type == "warning" && strings.Contains(l.Message, "wrong bytes") {
			return fmt.Errorf("a peer that sent what it was asked for was blamed: %s", l.Message)
		}
	}
	if _, err := os.Lstat(filepath.Join(out, "tree")); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("something stands under the final name: %v", err)
	}
	return nil
}

// changeLastByte of the file of that size below root.
func changeLastByte(root string, size int) error {
	all, err := contents(root)
	if err != nil {
		return err
	}
	for path, b := range all {
		if len(b) == size {
			b[size-1] ^= 1
			return os.WriteFile(filepath.Join(root, path), b, 0o666)
		}
	}
	return fmt.Errorf("no file of %d bytes in %s", size, root)
}

// liar is a storage that has every piece, all of them wrong.
type liar struct{}

func (liar) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{
		Piece: func(metainfo.Piece) storage.PieceImpl { return liar{} },
		Close: func() error { return nil },
	}, nil
}

func (liar) ReadAt(b []byte, _ int64) (int, error) {
	return copy(b, bytes.Repeat([]byte("lie "), len(b)/4+1)), nil
}
func (liar) WriteAt([]byte, int64) (int, error) { return 0, errors.ErrUnsupported }
func (liar) MarkComplete() error                { return nil }
func (liar) MarkNotComplete() error             { return nil }
func (liar) Completion() storage.Completion     { return storage.Completion{Ok: true, Complete: true} }

// lie seeds wrong bytes of a good torrent at an address until it is closed.
func (in *interop) lie(file string, at netip.AddrPort) (*torrent.Client, error) {
	l, err := netns.Listen(in.namespace, at)
	if err != nil {
		return nil, err
	}
	cfg := torrent.NewDefaultClientConfig()
	cfg.DisableTCP, cfg.DisableUTP, cfg.NoDHT, cfg.DisableTrackers, cfg.NoDefaultPortForwarding = true, true, true, true, true
	cfg.Seed, cfg.DefaultStorage = true, liar{}
	cl, err := torrent.NewClient(cfg)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	cl.AddListener(l)
	_, err = cl.AddTorrentFromFile(file)
	return cl, err
}

// lied fetches with a liar and an honest peer at hand.
func (in *interop) lied(ctx context.Context) error {
	dir := filepath.Join(in.dir, "lied")
	source := filepath.Join(dir, "source", "tree")
	sizes := append(sizes(32<<10, false), 3<<20)
	if err := makeTree(source, 99, sizes); err != nil {
		return err
	}
	// So slow that nobody can do without the liar at first.
	honest, published, err := in.publish(ctx, source, filepath.Join(dir, "origin"), "--limit-up", "1M", "--limit-lan")
	if err != nil {
		return err
	}
	defer honest.stop()
	address := in.next()
	cl, err := in.lie(published.Torrent, address)
	if cl != nil {
		defer cl.Close()
	}
	if err != nil {
		return err
	}
	c, err := in.start(ctx, in.tools.Fetch, filepath.Join(dir, "fetch"), published.Torrent, "-o", filepath.Join(dir, "out"),
		"--peer", address.String(), "--listen", in.next().String(), "--timeout", "60s", "--seed-for", "0")
	if err != nil {
		return err
	}
	defer c.stop()
	code, lines, err := c.finish(ctx)
	if err != nil || code != 0 {
		return fmt.Errorf("fetch ended with %d, %v:\n%s", code, err, c.tail())
	}
	named := false
	var wasted int64
	for _, l := range lines {
		named = named || l.Type == "warning" && strings.Contains(l.Message, address.String()) && strings.Contains(l.Message, "dropped")
		wasted += l.Wasted
	}
	if !named || wasted == 0 {
		return fmt.Errorf("%d bytes were wasted, and the liar at %s was named: %v\n%s", wasted, address, named, c.tail())
	}
	return sameTree(source, filepath.Join(dir, "out", "tree"), len(sizes), habits{})
}
