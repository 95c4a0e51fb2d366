package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// stranger is the user that owns nothing, by convention "nobody".
const stranger = 65534

func testForbidden(t *testing.T, l *lab) {
	s := l.local(t)
	if err := os.Chmod(writeFile(t, s.path("tree/secret.bin"), 100), 0); err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.path("tree/open.bin"), 100)
	if os.Geteuid() == 0 { // who may read everything
		if err := os.Mkdir(s.path("state"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(s.path("state"), stranger, stranger); err != nil {
			t.Fatal(err)
		}
		s.alter = func(c *exec.Cmd) {
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
		}
	}
	s.start("seed", "publish", s.path("tree")).fails(14, "secret.bin", "permission")
	s.start("seed", "publish", s.path("tree/secret.bin")).fails(14, "secret.bin", "permission")
	nothingPublished(t, s)

	// A destination and a state directory that may not be written.
	if err := os.Mkdir(s.path("closed"), 0o555); err != nil {
		t.Fatal(err)
	}
	_, published := s.publish(s.path("tree/open.bin"))
	other := l.local(t)
	other.alter = s.alter
	if err := os.Mkdir(other.path("closed"), 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(other.dir, stranger, stranger); err != nil {
			t.Fatal(err)
		}
	}
	other.start("fetch", published.Link, "-o", other.path("closed")).fails(14, "closed", "permission")
	other.start("fetch", published.Link, "-o", other.path("closed/below")).fails(14, "closed", "permission")
	if left := names(t, other.path("closed")); len(left) != 0 {
		t.Errorf("%q is in the destination", left)
	}
}

// testStoppedHolder: a node that was suspended holds the state directory and answers nobody.
func testStoppedHolder(t *testing.T, l *lab) {
	s := l.local(t)
	p, _ := s.publish(writeFile(t, s.path("news.bin"), 1000))
	p.signal(unix.SIGSTOP)
	s.start("seed", "ls").fails(11, fmt.Sprintf("pid %d", p.cmd.Process.Pid), "does not answer", "--state-dir")
	p.signal(unix.SIGCONT)
	ls := s.start("seed", "ls")
	ls.await("what is published", func(l line) bool { return l.Link != "" })
	if code := ls.wait(); code != 0 {
		t.Errorf("afterwards ls ended with %d", code)
	}
}

// small mounts a file system of so many bytes.
func small(t *testing.T, dir string, size int64, flags uintptr) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("size=%d,mode=0755", size)); err != nil {
		if os.Geteuid() == 0 && os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func testDisks(t *testing.T, l *lab) {
	first, s := l.local(t), l.local(t)
	tree := first.path("tree")
	makeOddTree(t, tree, 12<<20)
	_, published := first.publish(tree)

	small(t, s.path("sealed"), 1<<20, unix.MS_RDONLY)
	s.start("fetch", published.Link, "-o", s.path("sealed")).fails(14, "sealed", "read-only")
	s.start("fetch", published.Link, "-o", s.path("sealed/below")).fails(14, "sealed", "read-only")

	// A disk on which something else takes the space.
	small(t, s.path("disk"), 20<<20, 0)
	filler := writeFile(t, s.path("disk/filler"), 14<<20)
	s.start("fetch", published.Link, "-o", s.path("disk")).fails(14, "disk", "free")
	if _, err := os.Stat(s.path("disk/tree")); err == nil {
		t.Error("something stands under the final name")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.fetched(published.Link, "-o", s.path("disk"))
	sameTrees(t, tree, s.path("disk/tree"))
	noLeftovers(t, s.path("disk"))

	// A state directory without space: nothing is published, and afterwards it is.
	p := l.local(t)
	small(t, p.path("state"), 1<<20, 0)
	filler = p.path("state/filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20-8192), 0o600); err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, p.path("news.bin"), 100_000)
	p.start("seed", "publish", file).fails(14, "space")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	_, published = p.publish(file)
	other := l.local(t)
	other.fetched(published.Link, "-o", other.path("out"))
}
