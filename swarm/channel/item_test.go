package channel

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/ed25519"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"handful/manifest/bencode"
	"handful/signing"
	"handful/swarm/discover/mainline"
)

// newcomer makes the root document of a beginner's channel.
func newcomer(t testing.TB) []byte {
	t.Helper()
	key := func(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }
	public := func(b byte) ed25519.PublicKey { return key(b).Public().(ed25519.PublicKey) }
	role := func(b byte) signing.RoleParams { return signing.RoleParams{Keys: []crypto.PublicKey{public(b)}} }
	root, err := signing.NewRoot(signing.RootParams{
		Title: "A title as long as people make them", Expires: time.Unix(1_900_000_000, 0),
		Root: role(1), Targets: role(2), Timestamp: role(2), DHT: public(3),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Sign(key(1)); err != nil {
		t.Fatal(err)
	}
	return root.Bytes()
}

func TestRootItem(t *testing.T) {
	raw := newcomer(t)
	value, ok := PackRoot(raw)
	if !ok {
		t.Fatalf("a beginner's root of %d bytes does not fit: %d", len(raw), len(value))
	}
	got, err := UnpackRoot(value)
	if err != nil || !bytes.Equal(got, raw) {
		t.Errorf("it came back as %q: %v", got, err)
	}
	long := make([]byte, 1500)
	rand.NewChaCha8([32]byte{}).Read(long)
	if _, ok := PackRoot(long); ok {
		t.Error("what is too large was packed")
	}
	if _, err := mainline.Sign(ed25519.NewKeyFromSeed(make([]byte, 32)), []byte(RootSalt), 1, value); err != nil {
		t.Error(err)
	}
}

func bomb(t testing.TB) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write(make([]byte, 900_000))
	w.Close()
	return bencode.AppendString(nil, b.Bytes())
}

func TestUnpackRefuses(t *testing.T) {
	value, _ := PackRoot([]byte("{}"))
	for name, v := range map[string][]byte{
		"nothing": nil, "no string": []byte("i1e"), "empty": []byte("0:"), "no deflate": []byte("4:aaaa"), "a bomb": bomb(t),
		"cut": value[:len(value)-1], "more": append(bytes.Clone(value), '0'), "more inside": []byte("5:\x03\x00abc"),
	} {
		if raw, err := UnpackRoot(v); err == nil {
			t.Errorf("%s was unpacked as %d bytes", name, len(raw))
		}
	}
	if n := len(bomb(t)); n > mainline.MaxValue {
		t.Errorf("the bomb has %d bytes and would not even travel", n)
	}
}

func TestItemValue(t *testing.T) {
	head := []byte(strings.Repeat("h", 250))
	hash := []byte(strings.Repeat("i", 20))
	within := func(entry int) func(int) (signing.Update, bool) {
		return func(limit int) (signing.Update, bool) {
			u := signing.Update{Head: head, Root: 3, Hashes: make([][32]byte, 2), Entries: [][]byte{make([]byte, entry)}}
			return u, true
		}
	}
	v, ok := ItemValue(within(300), hash)
	u, err := signing.ParseUpdate(v)
	if ih, is := mainline.Pointer(v); !ok || err != nil || len(u.Entries) != 1 || !is || string(ih[:]) != string(hash) {
		t.Errorf("%q: %v", v, err)
	}
	v, ok = ItemValue(within(900), hash)
	if u, err := signing.ParseUpdate(v); !ok || err != nil || len(u.Entries) != 0 || len(u.Hashes) != 0 || u.Root != 3 {
		t.Errorf("too large: %q: %v", v, err)
	}
	if v, _ := ItemValue(within(100), nil); bytes.Contains(v, []byte("2:ih")) {
		t.Errorf("a pointer to nothing: %q", v)
	}
	head = []byte(strings.Repeat("h", 1000))
	if _, ok := ItemValue(within(1), nil); ok {
		t.Error("a head that does not fit was packed")
	}
}

// The inputs are short: Go makes each that finds a new way through the code as short as it
// can, by trying a number of others that grows with the square of its length, and inflating
// and deflating takes a millisecond. With a whole document it did nothing else.
func FuzzUnpackRoot(f *testing.F) {
	const most = 128
	value, _ := PackRoot([]byte(`{"signatures":[{"keyid":"01","sig":"02"}],"signed":{"_type":"root","version":1}}`))
	f.Add(value)
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write(make([]byte, signing.MaxRoot+1))
	w.Close()
	f.Add(bencode.AppendString(nil, b.Bytes()))
	f.Add([]byte("5:\x03\x00abc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > most {
			return
		}
		raw, err := UnpackRoot(b)
		if err != nil {
			return
		}
		if len(raw) > signing.MaxRoot {
			t.Fatalf("%d bytes", len(raw))
		}
		if len(raw) > 256 {
			return // packing that again takes the time of a thousand others
		}
		if value, ok := PackRoot(raw); ok {
			if again, err := UnpackRoot(value); err != nil || !bytes.Equal(again, raw) {
				t.Fatalf("%q came back as %q: %v", raw, again, err)
			}
		}
	})
}
