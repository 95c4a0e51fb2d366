package publish

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"handful/manifest/bencode"
	"handful/signing"
	"handful/signing/durable"
	"handful/signing/durable/crashfs"
)

var testTime = time.Unix(1766400000, 0).UTC()

func seedKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func testRoot(t testing.TB) *signing.Root {
	t.Helper()
	role := func(b byte) signing.RoleParams {
		return signing.RoleParams{Keys: []crypto.PublicKey{seedKey(b).Public()}}
	}
	r, err := signing.NewRoot(signing.RootParams{Expires: testTime.AddDate(2, 0, 0), Root: role(1), Targets: role(2), Timestamp: role(2)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Sign(seedKey(1)); err != nil {
		t.Fatal(err)
	}
	return r
}

func post(text string) []byte {
	b := bencode.AppendString([]byte("d"), "x")
	b = bencode.AppendString(b, text)
	b = bencode.AppendString(b, "y")
	b = bencode.AppendString(b, "post")
	return append(b, 'e')
}

func config(t testing.TB, fs durable.FS) LogConfig {
	return LogConfig{Root: testRoot(t), Key: seedKey(2), New: true, FS: fs}
}

func open(t testing.TB, dir string, c LogConfig) *Log {
	t.Helper()
	l, err := OpenLog(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func publish(t testing.TB, l *Log, texts ...string) signing.Head {
	t.Helper()
	for _, text := range texts {
		if _, err := l.Append(post(text)); err != nil {
			t.Fatal(err)
		}
	}
	h, err := l.Sign(testTime)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestReopen runs on the real filesystem.
func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	c := config(t, nil)
	l := open(t, dir, c)
	first := publish(t, l, "a", "b", "c")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c.New = false // what is there is not lost
	l = open(t, dir, c)
	if l.Size() != 3 || !bytes.Equal(l.Head().Raw, first.Raw) || l.Unsigned() {
		t.Fatalf("reopened with %d entries, head %q", l.Size(), l.Head().Raw)
	}
	second := publish(t, l, "d")
	f := signing.NewTrusted(c.Root.ID())
	if err := f.UpdateRoot(c.Root.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, 2, 4} {
		u, err := l.UpdateFor(size)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.UpdateHead(signing.MainWriter, u, testTime); err != nil {
			t.Fatalf("from %d: %v", size, err)
		}
	}
	if h := f.Head(signing.MainWriter); h.Root != second.Root {
		t.Fatal("the follower holds another tree")
	}
	same, err := l.Sign(testTime)
	if err != nil || !bytes.Equal(same.Raw, second.Raw) {
		t.Fatalf("the same size signed at the same time has other bytes: %v", err)
	}
}

// TestCrash interrupts a publisher at every step that changes the disk, in every way a
// step can fail and a crash can lose, and lets it go on. The network remembers each
// head that came out.
func TestCrash(t *testing.T) {
	for _, landed := range []bool{false, true} {
		for _, loss := range crashfs.Losses {
			steps := 1
			for n := 1; n <= steps; n++ {
				steps = max(steps, crashOnce(t, n, landed, loss))
			}
			if steps < 20 {
				t.Fatalf("only %d steps were interrupted", steps)
			}
		}
	}
}

// network is what followers hold: it fails the test when two heads contradict.
type network struct {
	t     *testing.T
	name  string
	trust *signing.Trusted
}

func newNetwork(t *testing.T, name string) *network {
	root := testRoot(t)
	n := &network{t, name, signing.NewTrusted(root.ID())}
	if err := n.trust.UpdateRoot(root.Bytes()); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *network) take(l *Log) {
	n.t.Helper()
	u, err := l.UpdateFor(n.trust.Size(signing.MainWriter))
	if err == nil {
		_, err = n.trust.UpdateHead(signing.MainWriter, u, testTime)
	}
	if err != nil {
		n.t.Fatalf("%s: the network refuses what was published: %v", n.name, err)
	}
}

// crashOnce publishes with a crash at the n-th step, and returns how many steps there
// were up to the crash or the end.
func crashOnce(t *testing.T, n int, landed bool, loss crashfs.Loss) int {
	t.Helper()
	fs := crashfs.New()
	net := newNetwork(t, fmt.Sprintf("step %d, landed %v, loss %d", n, landed, loss))
	fs.FailAt(n, landed)
	acknowledged := session(t, fs, net, 0)
	steps := fs.Steps()
	if !fs.Crashed() {
		return steps
	}
	fs.Restart(loss)
	c := config(t, fs)
	c.New = false
	l, err := OpenLog("log", c)
	if err != nil {
		t.Fatalf("%s: cannot be opened again: %v", net.name, err)
	}
	if got, want := int64(len(fs.Get("log/entries"))), l.disk.end(l.Size()); got != want {
		t.Fatalf("%s: the file of entries has %d bytes, its entries end at %d", net.name, got, want)
	}
	if l.Size() < int64(acknowledged) {
		t.Fatalf("%s: %d entries are left of %d that were acknowledged", net.name, l.Size(), acknowledged)
	}
	if net.trust.Head(signing.MainWriter).Raw != nil {
		if err := l.ObserveHead(net.trust.Head(signing.MainWriter).Raw); err != nil {
			t.Fatalf("%s: the network is ahead: %v", net.name, err)
		}
	}
	if err := l.Confirm(); err != nil {
		t.Fatal(err)
	}
	session(t, fs, net, 10)
	if fs.Crashed() || net.trust.Size(signing.MainWriter) < 4 {
		t.Fatalf("%s: it does not go on: %d entries", net.name, net.trust.Size(signing.MainWriter))
	}
	return steps + 1
}

// session publishes four posts, in two heads, and five at once, until something fails. It
// returns how many entries were acknowledged.
func session(t *testing.T, fs *crashfs.FS, net *network, from int) (acknowledged int) {
	c := config(t, fs)
	c.New = from == 0
	l, err := OpenLog("log", c)
	if err != nil {
		return 0
	}
	for i := range 4 {
		if _, err := l.Append(post(fmt.Sprint("post ", from+i))); err != nil {
			return acknowledged
		}
		acknowledged++
		if i%2 == 1 {
			if _, err := l.Sign(testTime); err != nil {
				if l.Head().Raw != nil {
					net.take(l) // what is still served must be on disk
				}
				return acknowledged
			}
			net.take(l)
		}
	}
	if _, err := l.AppendAll(posts(from+4, 5)); err != nil {
		return acknowledged
	}
	acknowledged += 5
	if _, err := l.Sign(testTime); err == nil || l.Head().Raw != nil {
		net.take(l)
	}
	return acknowledged
}

func posts(first, n int) (all [][]byte) {
	for i := range n {
		all = append(all, post(fmt.Sprint("post ", first+i)))
	}
	return all
}

// TestAppendAll lets each step of a batch fail: in this process all of it is there or
// nothing, and tried again it is there once.
func TestAppendAll(t *testing.T) {
	for _, landed := range []bool{false, true} {
		failed := 0
		for n := 1; n < 60; n++ {
			name := fmt.Sprintf("step %d, landed %v", n, landed)
			fs := crashfs.New()
			net := newNetwork(t, name)
			l := open(t, "log", config(t, fs))
			publish(t, l, "first")
			fs.FailAt(n, landed)
			first, err := l.AppendAll(posts(1, 9))
			if fs.Crashed() {
				failed++
				fs.Restart(crashfs.Keep)
			}
			if err != nil {
				if first, err = l.AppendAll(posts(1, 9)); err != nil {
					t.Fatalf("%s: again: %v", name, err)
				}
			}
			if _, err := l.Sign(testTime); err != nil {
				fs.Restart(crashfs.Keep)
				if _, err = l.Sign(testTime); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if first != 1 || l.Size() != 10 {
				t.Fatalf("%s: the first is %d, of %d entries", name, first, l.Size())
			}
			for i := range int64(9) {
				if e, err := l.Entry(1 + i); err != nil || !bytes.Equal(e, posts(1, 9)[i]) {
					t.Fatalf("%s: entry %d is %q, %v", name, 1+i, e, err)
				}
			}
			net.take(l)
		}
		if failed < 20 { // nine times two writes, and the syncs
			t.Errorf("landed %v: only %d steps failed", landed, failed)
		}
	}
	l := open(t, "log", config(t, crashfs.New()))
	if _, err := l.AppendAll([][]byte{post("good"), []byte("no entry")}); !errors.Is(err, signing.ErrMalformed) || l.Size() != 0 {
		t.Errorf("with one that is none: %v, %d entries", err, l.Size())
	}
	if publish(t, l, "then"); l.Size() != 1 {
		t.Errorf("after that %d entries", l.Size())
	}
}

// TestGoesOnAfterAnError lets one step fail and the log go on without being reopened:
// a full disk, say.
func TestGoesOnAfterAnError(t *testing.T) {
	for _, landed := range []bool{false, true} {
		for n := 1; n < 30; n++ {
			fs := crashfs.New()
			net := newNetwork(t, fmt.Sprintf("step %d, landed %v", n, landed))
			l := open(t, "log", config(t, fs))
			fs.FailAt(n, landed)
			for i := range 6 {
				_, err := l.Append(post(fmt.Sprint("post ", i)))
				if err == nil {
					_, err = l.Sign(testTime)
				}
				if err != nil && !errors.Is(err, crashfs.ErrCrash) {
					t.Fatalf("%s: %v", net.name, err)
				}
				if err == nil {
					net.take(l)
				}
				if fs.Crashed() {
					fs.Restart(crashfs.Keep)
				}
			}
			if net.trust.Size(signing.MainWriter) < 5 {
				t.Fatalf("%s: only %d entries arrived", net.name, net.trust.Size(signing.MainWriter))
			}
		}
	}
}

// TestRetry appends an entry again after a failure: it is there once, then and after a
// restart.
func TestRetry(t *testing.T) {
	for _, landed := range []bool{false, true} {
		for n := 1; n <= 4; n++ {
			fs := crashfs.New()
			l := open(t, "log", config(t, fs))
			fs.FailAt(n, landed)
			if _, err := l.Append(post("the same")); !errors.Is(err, crashfs.ErrCrash) {
				t.Fatalf("step %d: %v", n, err)
			}
			fs.Restart(crashfs.Keep)
			publish(t, l, "the same")
			if l.Size() != 1 {
				t.Fatalf("step %d, landed %v: %d entries", n, landed, l.Size())
			}
			if l = open(t, "log", config(t, fs)); l.Size() != 1 {
				t.Fatalf("step %d, landed %v: %d entries after a restart", n, landed, l.Size())
			}
		}
	}
}

// failingFS cannot read one file beyond an offset: a damaged disk.
type failingFS struct {
	durable.FS
	path string
}

type failingFile struct{ durable.File }

var errDisk = errors.New("input/output error")

func (f failingFS) Create(path string) (durable.File, error) {
	file, err := f.FS.Create(path)
	if path == f.path {
		return failingFile{file}, err
	}
	return file, err
}

func (f failingFile) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

// TestUnreadableIsNotAbsent must not cut off what it cannot read.
func TestUnreadableIsNotAbsent(t *testing.T) {
	for _, name := range []string{"log/entries", "log/hashes"} {
		fs := crashfs.New()
		l := open(t, "log", config(t, fs))
		if _, err := l.Append(post("not signed yet")); err != nil {
			t.Fatal(err)
		}
		before := fs.Get(name)
		c := config(t, failingFS{fs, name})
		if _, err := OpenLog("log", c); !errors.Is(err, errDisk) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(fs.Get(name), before) {
			t.Errorf("%s was cut", name)
		}
	}
}
