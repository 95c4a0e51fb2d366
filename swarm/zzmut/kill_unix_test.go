//go:build unix

package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"handful/manifest"
)

// TestKilledProcess runs a download in a process of its own and kills it between
// two writes, at whatever it is doing then.
func TestKilledProcess(t *testing.T) {
	if os.Getenv("STORE_TEST_STATE") != "" {
		victim(t)
		return
	}
	r := rand.New(rand.NewPCG(50, uint64(os.Getpid())))
	dir, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	state, dest := t.TempDir(), t.TempDir()
	torrent := t.TempDir() + "/t"
	if err := os.WriteFile(torrent, m.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, wait := range []int{1, m.NumPieces() / 2, m.NumPieces() - 1} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledProcess$", "-test.v")
		cmd.Env = append(os.Environ(), "STORE_TEST_STATE="+state, "STORE_TEST_DEST="+dest, "STORE_TEST_TORRENT="+torrent, "STORE_TEST_SOURCE="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := 0
		for lines := bufio.NewScanner(out); done < wait && lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "verified ") {
				done++
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		if done < wait {
			t.Fatalf("only %d pieces of %d before the end", done, wait)
		}
		s := open(t, state)
		c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
		good := 0
		for i := range m.NumPieces() {
			if complete, known := c.State(i); known && !complete {
				continue
			}
			if settle(t, c, i) {
				good++
			}
		}
		if good < done {
			t.Errorf("%d pieces were verified before the kill, %d are found", done, good)
		}
		if wait == m.NumPieces()-1 {
			fetch(t, r, seed, c, -1)
			sameTrees(t, dir, finish(t, c))
		}
		s.kill() // what it knows must not help the next round
	}
}

// victim downloads until it is killed.
func victim(t *testing.T) {
	b, err := os.ReadFile(os.Getenv("STORE_TEST_TORRENT"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	src, _, err := manifest.Build(t.Context(), []string{os.Getenv("STORE_TEST_SOURCE")}, manifest.BuildOptions{Format: manifest.FormatHybrid, PieceLength: m.PieceLength})
	if err != nil || src.InfoHash() != m.InfoHash() {
		t.Fatal(err)
	}
	from, err := open(t, t.TempDir()).Download(t.Context(), src, os.Getenv("STORE_TEST_SOURCE")+"/..", DownloadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := open(t, os.Getenv("STORE_TEST_STATE")).Download(t.Context(), m, os.Getenv("STORE_TEST_DEST"), DownloadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(51, uint64(os.Getpid())))
	for n := range m.NumPieces() {
		before := c.Reused()
		if fetch(t, r, from, c, 1) == 0 && c.Reused() == before && n < m.NumPieces()-1 && !c.Complete() {
			t.Fatal("nothing moved")
		}
		fmt.Printf("verified %d\n", n)
	}
	select {} // until it is killed
}
