package keyfile

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"handful/signing"
	"handful/signing/durable"
)

const (
	maxKey = 4 << 10 // bytes of a PEM file

	rootPEM    = "root.pem"
	onlinePEM  = "online.pem"
	targetsPEM = "targets.pem"
	dhtPEM     = "dht.pem"
	newMark    = "new"   // there: nothing was ever published with these keys
	unfinished = ".new-" // begins the name of a directory that is being filled
)

var (
	// ErrNotFound: no keys of the channel are there.
	ErrNotFound = errors.New("no keys of this channel")
	// ErrExists: other keys of the channel are there.
	ErrExists = errors.New("keys of this channel are there already")
	// ErrDamaged: what is there is not what was written.
	ErrDamaged = errors.New("damaged")
)

// Keys are the secrets of one channel with its documents. They are immutable.
type Keys struct {
	ID      signing.ID
	Roots   []*signing.Root    // version 1, 2, …; verified
	Root    ed25519.PrivateKey // nil when it is kept elsewhere
	Online  ed25519.PrivateKey // of the role timestamp, for a beginner also of targets; nil when it is kept elsewhere
	Targets ed25519.PrivateKey // of the role targets, when that is another key; nil when it is kept elsewhere
	DHT     ed25519.PrivateKey // nil when the root names none, or it is kept elsewhere
	// Documents are the targets documents that were granted, oldest first. An import has
	// the newest alone.
	Documents []*signing.Targets
	// New: nobody has published with these keys yet; see [Keys.Used].
	New bool
}

// Document returns the newest targets document, or nil.
func (k *Keys) Document() *signing.Targets {
	if len(k.Documents) == 0 {
		return nil
	}
	return k.Documents[len(k.Documents)-1]
}

// Granter returns the key here that has the role targets, or nil.
func (k *Keys) Granter() ed25519.PrivateKey {
	for _, p := range []ed25519.PrivateKey{k.Targets, k.Online} {
		if p != nil && has(k.Newest(), signing.RoleTargets, p) {
			return p
		}
	}
	return nil
}

// Newest returns the newest root document.
func (k *Keys) Newest() *signing.Root { return k.Roots[len(k.Roots)-1] }

// Options say what a new channel is.
type Options struct {
	Title   string
	Private bool
	MaxAge  time.Duration // of the main writer's heads; 0: no age is late
	Now     time.Time
	Rand    io.Reader // the source of the keys: crypto/rand.Reader
}

// validYears is how long the first root document confirms heads.
const validYears = 2

// Create makes the keys and the first root document of a new channel, and its
// directory in dir.
func Create(dir string, o Options) (*Keys, error) {
	k, err := generate(o)
	if err != nil {
		return nil, fmt.Errorf("create channel: %w", err)
	}
	k.New = true
	if err := k.write(dir); err != nil {
		return nil, fmt.Errorf("create channel: %w", err)
	}
	return k, nil
}

// Assemble makes the directory of a channel in dir from its signed root documents and
// those of its private keys that are to be here. fresh: nobody has published yet.
func Assemble(dir string, id signing.ID, docs [][]byte, private []ed25519.PrivateKey, fresh bool) (*Keys, error) {
	k, err := newKeys(id, docs, private)
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", id, err)
	}
	k.New = fresh
	if err := k.write(dir); err != nil {
		return nil, fmt.Errorf("channel %s: %w", id, err)
	}
	return k, nil
}

func generate(o Options) (*Keys, error) {
	var keys [3]ed25519.PrivateKey
	for i := range keys {
		seed := make([]byte, ed25519.SeedSize)
		if _, err := io.ReadFull(o.Rand, seed); err != nil {
			return nil, fmt.Errorf("random seed: %w", err)
		}
		keys[i] = ed25519.NewKeyFromSeed(seed)
	}
	role := func(k ed25519.PrivateKey) signing.RoleParams {
		return signing.RoleParams{Keys: []crypto.PublicKey{public(k)}}
	}
	p := signing.RootParams{
		Title: o.Title, Private: o.Private, Expires: o.Now.AddDate(validYears, 0, 0),
		Root: role(keys[0]), Targets: role(keys[1]), Timestamp: role(keys[1]), DHT: public(keys[2]),
	}
	if o.MaxAge > 0 {
		p.MaxAge = map[string]time.Duration{signing.MainWriter: o.MaxAge}
	}
	root, err := signing.NewRoot(p)
	if err != nil {
		return nil, err
	}
	if err := root.Sign(keys[0]); err != nil {
		return nil, err
	}
	return newKeys(root.ID(), [][]byte{root.Bytes()}, keys[:])
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// newKeys verifies the root documents and gives each private key its place by them.
func newKeys(id signing.ID, docs [][]byte, private []ed25519.PrivateKey) (*Keys, error) {
	roots, err := verifyChain(id, docs)
	if err != nil {
		return nil, err
	}
	k := &Keys{ID: id, Roots: roots}
	newest := k.Newest()
	for _, p := range private {
		var to *ed25519.PrivateKey
		switch placeOf(newest, p) {
		case onlinePEM:
			to = &k.Online
		case rootPEM:
			to = &k.Root
		case targetsPEM:
			to = &k.Targets
		case dhtPEM:
			to = &k.DHT
		default:
			return nil, fmt.Errorf("%w: a private key that the root document of version %d does not name", ErrDamaged, newest.Version())
		}
		if *to != nil {
			return nil, fmt.Errorf("%w: two private keys for one place", ErrDamaged)
		}
		*to = p
	}
	return k, nil
}

// files returns what stands in the channel's directory.
func (k *Keys) files() (map[string][]byte, error) {
	out := map[string][]byte{}
	for i, r := range k.Roots {
		out[rootName(i+1)] = r.Bytes()
	}
	for _, doc := range k.Documents {
		out[targetsName(doc.Version())] = doc.Bytes()
	}
	if k.New {
		out[newMark] = []byte("nothing was published yet\n")
	}
	for name, p := range map[string]ed25519.PrivateKey{rootPEM: k.Root, onlinePEM: k.Online, targetsPEM: k.Targets, dhtPEM: k.DHT} {
		if p == nil {
			continue
		}
		b, err := encodeKey(p)
		if err != nil {
			return nil, err
		}
		out[name] = b
	}
	return out, nil
}

func rootName(version int) string { return strconv.Itoa(version) + ".root.json" }

// write makes the channel's directory: filled under another name, then renamed.
func (k *Keys) write(dir string) error {
	files, err := k.files()
	if err != nil {
		return err
	}
	final, temp := filepath.Join(dir, k.ID.String()), filepath.Join(dir, unfinished+k.ID.String())
	if _, err := os.Lstat(final); err == nil {
		return fmt.Errorf("%s: %w", final, ErrExists)
	}
	if err := os.RemoveAll(temp); err != nil {
		return fmt.Errorf("remove what an earlier attempt left: %w", err)
	}
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return fmt.Errorf("make the channel's directory: %w", err)
	}
	for name, data := range files {
		if err := durable.WriteFile(durable.OS{}, filepath.Join(temp, name), data); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, final); err != nil {
		return fmt.Errorf("name the channel's directory: %w", err)
	}
	return (durable.OS{}).SyncDir(dir)
}

// List returns the channels that have a directory in dir, sorted by their ids. A
// missing dir has none.
func List(dir string) ([]signing.ID, error) {
	names, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	var ids []signing.ID
	for _, n := range names {
		if id, err := signing.ParseID(n.Name()); err == nil && n.IsDir() && id.String() == n.Name() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Open reads the keys of a channel and checks that they fit its root documents.
func Open(dir string, id signing.ID) (*Keys, error) {
	sub := filepath.Join(dir, id.String())
	if _, err := os.Stat(sub); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", sub, ErrNotFound)
	}
	var docs [][]byte
	for {
		raw, err := durable.ReadFile(durable.OS{}, filepath.Join(sub, rootName(len(docs)+1)), signing.MaxRoot)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, raw)
	}
	private, err := readKeys(sub)
	if err != nil {
		return nil, err
	}
	k, err := settled(id, docs, private)
	if err == nil {
		err = k.readDocuments(sub)
	}
	if err != nil {
		return nil, fmt.Errorf("keys in %s: %w; restore the directory from a backup, or import an export of the channel", sub, err)
	}
	return k, nil
}

func readKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key %s is open to other users (mode %04o): chmod 600 it, and think about who may have read it", path, info.Mode().Perm())
	}
	b, err := durable.ReadFile(durable.OS{}, path, maxKey)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(b)
	if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("key %s: %w: not one PEM block", path, ErrDamaged)
	}
	p, err := decodeKey(block)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	return p, nil
}

func encodeKey(p ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(p)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func decodeKey(block *pem.Block) (ed25519.PrivateKey, error) {
	if block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%w: a PEM block %.40q instead of PRIVATE KEY", ErrDamaged, block.Type)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	p, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: a key of kind %T instead of Ed25519", ErrDamaged, key)
	}
	return p, nil
}
