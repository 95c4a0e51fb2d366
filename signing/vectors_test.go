package signing

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"handful/manifest/bencode"
)

var update = flag.Bool("update", false, "write testdata/vectors.txt anew")

// TestVectors makes every byte string of a small channel and compares it with
// testdata/vectors.txt, which other implementations can check themselves against.
func TestVectors(t *testing.T) {
	path := filepath.Join("testdata", "vectors.txt")
	got := vectors(t)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("line %d:\n got %s\nwant %s", i+1, gotLines[i], wantLines[i])
		}
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%d lines, want %d", len(gotLines), len(wantLines))
	}
}

// printer prints named byte strings, as text where all of it can be read.
type printer struct{ bytes.Buffer }

func (p *printer) comment(format string, args ...any) { fmt.Fprintf(p, "\n# "+format+"\n", args...) }

func (p *printer) put(name string, b []byte) {
	fmt.Fprintf(p, "%s = %s\n", name, hex.EncodeToString(b))
	if text := fmt.Sprintf("%q", b); !strings.Contains(text, `\x`) {
		fmt.Fprintf(p, "  %s\n", text)
	}
}

// vectorEntries are a post, a media and a post.
func vectorEntries() [][]byte {
	entry := func(kind string, seconds int64, middle func([]byte) []byte) []byte {
		b := bencode.AppendString([]byte("d"), "^")
		b = append(bencode.AppendInt(bencode.AppendString(append(b, 'd'), "p"), 1), 'e')
		b = middle(b)
		b = bencode.AppendInt(bencode.AppendString(b, "t"), 1000*(testTime.Unix()+seconds))
		if kind == "post" {
			b = bencode.AppendString(bencode.AppendString(b, "x"), map[int64]string{0: "Hello", 120: "Bye"}[seconds])
		}
		return append(bencode.AppendString(bencode.AppendString(b, "y"), kind), 'e')
	}
	none := func(b []byte) []byte { return b }
	media := func(b []byte) []byte {
		b = bencode.AppendString(bencode.AppendString(b, "i"), bytes.Repeat([]byte{0x11}, 32))
		b = bencode.AppendString(bencode.AppendString(b, "i1"), bytes.Repeat([]byte{0x22}, 20))
		b = bencode.AppendString(bencode.AppendString(b, "n"), "film.mp4")
		return bencode.AppendInt(bencode.AppendString(b, "s"), 123456789)
	}
	return [][]byte{entry("post", 0, none), entry("media", 60, media), entry("post", 120, none)}
}

func vectors(t *testing.T) []byte {
	var p printer
	p.WriteString("# A channel, byte by byte: NAME = hex, and below it the same as a Go string where it is text.\n")
	p.comment("Keys, Ed25519: seeds and public keys")
	for _, k := range []struct {
		name string
		key  ed25519.PrivateKey
	}{{"root", rootKey}, {"online", onlineKey}, {"dht", dhtKey}} {
		p.put("key."+k.name+".seed", k.key.Seed())
		p.put("key."+k.name+".public", public(k.key))
		tuf, err := NewKey(public(k.key))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&p, "key.%s.id: %s\n", k.name, tuf.ID())
	}
	root := testRoot(t)
	p.comment("The first root document: what is signed, and the document")
	p.put("root.payload", root.Payload())
	p.put("root.document", root.Bytes())
	p.comment("The channel: id, link, infohash of its swarm")
	id, swarm := root.ID(), root.ID().Swarm()
	p.put("id", id[:])
	p.put("id.text", []byte(id.String()))
	p.put("id.swarm", swarm[:])
	p.put("link", []byte(Link{ID: id, Writer: MainWriter, Index: 1, Name: "Demo", Peers: []string{"192.0.2.1:6881"},
		DHTKey: base32Lower.EncodeToString(public(dhtKey))}.String()))
	l, err := NewLog(id, MainWriter, &Memory{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	f := follower(t, root)
	for i, e := range vectorEntries() {
		now := testTime.Add(time.Duration(60*i) * time.Second)
		vectorPost(t, &p, l, f, e, now)
	}
	p.comment("A heartbeat a second later: the same tree, signed anew")
	signLog(t, l, testTime.Add(121*time.Second))
	beat := l.Head()
	p.put("heartbeat", beat.Raw)
	p.put("heartbeat.message", cosignMessage(beat.Text(), beat.Time.Unix()))
	vectorProofs(t, &p, l, f)
	vectorDocuments(t, &p)
	return p.Bytes()
}

// vectorDocuments prints a targets document with its grant, what proves an entry of the
// delegated writer, and a root document with ECDSA keys and a base.
func vectorDocuments(t *testing.T, p *printer) {
	t.Helper()
	f, main, alice := delegatedFollower(t)
	p.comment("A delegated writer, alice, with the Ed25519 seed 32 x 3d: the targets document, signed by the online key, and the entry that grants it")
	p.put("targets.payload", f.Targets().Payload())
	p.put("targets.document", f.Targets().Bytes())
	grant, err := main.Entry(8)
	if err != nil {
		t.Fatal(err)
	}
	p.put("grant", grant)
	p.put("alice.head", alice.Head().Raw)
	proof := prove(t, f, alice, 7, 1)
	p.put("proof.tlog", proof.TlogProof())
	p.put("proof", proof.Bytes())
	p.put("alice.state", f.Bytes())
	p.comment("The root document of an organisation: two of three keys, of which the third and the key of the role targets are ECDSA on P-256 with the private scalars 32 x 2b and 32 x 2c")
	org := organisation(t)
	p.put("organisation.payload", org.Payload())
	p.put("organisation.document", org.Bytes())
	second, err := org.Edit(RootEdit{Base: map[string]Base{MainWriter: {Size: 4, Root: rootAt(t, main, 4)}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []crypto.Signer{seedKey(41), p256(t, 43)} {
		if err := second.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	p.put("organisation.document.2", second.Bytes())
}

// vectorPost appends one entry and lets a follower take the update.
func vectorPost(t *testing.T, p *printer, l *Log, f *Trusted, e []byte, now time.Time) {
	t.Helper()
	i, err := l.Append(e)
	if err != nil {
		t.Fatal(err)
	}
	signLog(t, l, now)
	u := updateFor(t, l, i)
	if acc, err := f.UpdateHead(MainWriter, u, now); err != nil || len(acc.Entries) != 1 {
		t.Fatalf("entry %d: %v", i, err)
	}
	p.comment("Entry %d, signed at %d", i, now.Unix())
	leaf := tlog.RecordHash(e)
	p.put(fmt.Sprintf("entry.%d", i), e)
	p.put(fmt.Sprintf("entry.%d.leaf", i), leaf[:])
	p.put(fmt.Sprintf("head.%d", i+1), l.Head().Raw)
	p.put(fmt.Sprintf("update.%d.from.%d", i+1, i), u.Bytes())
	p.put(fmt.Sprintf("update.%d.from.0", i+1), updateFor(t, l, 0).Bytes())
}

func vectorProofs(t *testing.T, p *printer, l *Log, f *Trusted) {
	t.Helper()
	p.comment("The page of entry 1 in the tree of 3")
	page, err := l.Page(1, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.VerifyPage(MainWriter, page); err != nil {
		t.Fatal(err)
	}
	p.put("page", page.Bytes())
	p.comment("What a follower keeps: of all three, the last not yet handed on")
	f.HandedOn(MainWriter, 2)
	p.put("state", restart(t, f).Bytes())
	p.comment("The proof of a fork: entry 2 is another one")
	other := testLog(t, testRoot(t), testTime.Add(180*time.Second))
	for i, e := range vectorEntries() {
		if i == 2 {
			e = post("Not bye")
		}
		if _, err := other.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	other.head = Head{}
	signLog(t, other, testTime.Add(180*time.Second))
	_, err = f.UpdateHead(MainWriter, updateFor(t, other, 0), testTime.Add(180*time.Second))
	if fork := f.Fork(MainWriter); fork == nil {
		t.Fatalf("no fork: %v", err)
	} else {
		p.put("fork", fork.Bytes())
	}
}

// absent skips the test for want of another program, or fails it in CI, where all of them must be there.
func absent(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("in CI every client must be there: "+format, args...)
	}
	t.Skipf(format, args...)
}

// TestVectorsOpenSSL has another program verify the signatures of the root and a head.
func TestVectorsOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		absent(t, "openssl is not installed")
	}
	root := testRoot(t)
	l := testLog(t, root, testTime, "Hello")
	h, err := root.OpenHead(MainWriter, l.Head().Raw)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key          ed25519.PublicKey
		message, sig []byte
	}{
		"root": {public(rootKey), root.Payload(), root.signatures[0].sig},
		"head": {public(onlineKey), []byte("cosignature/v1\ntime 1766400000\n" + strings.Split(string(h.Raw), "\n\n")[0] + "\n"), h.lines[0].sig},
	} {
		dir := t.TempDir()
		write := func(name string, b []byte) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		der := append([]byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}, tt.key...) // RFC 8410
		out, err := exec.CommandContext(t.Context(), openssl, "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", write("key", der),
			"-rawin", "-in", write("message", tt.message), "-sigfile", write("sig", tt.sig)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: openssl: %v: %s", name, err, out)
		}
	}
}

// TestDocExample keeps the worked example of the package documentation true.
func TestDocExample(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	root := testRoot(t)
	l := testLog(t, root, testTime)
	for _, e := range vectorEntries() {
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	l.head = Head{}
	signLog(t, l, testTime.Add(120*time.Second))
	u := updateFor(t, l, 2)
	quoted := "//\t" + strings.ReplaceAll(strings.TrimSuffix(string(l.Head().Raw), "\n"), "\n", "\n//\t") + "\n"
	quoted = strings.ReplaceAll(quoted, "//\t\n", "//\n")
	for _, want := range []string{quoted, "handful:" + root.ID().String(), fmt.Sprintf("update of %d bytes", len(u.Bytes())),
		fmt.Sprintf("1:c %d:<the head> 1:e l %d:%s e 1:n i2e 1:r i1e e", len(u.Head), len(u.Entries[0]), u.Entries[0])} {
		if !bytes.Contains(doc, []byte(want)) {
			t.Errorf("doc.go does not say\n%s", want)
		}
	}
}
