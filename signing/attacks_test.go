package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestAttacks plays the transcripts in testdata/attacks. The comment of each file tells
// the attack, its part "attack" plays it, one command a line; see [stage.run] for most,
// and stage_test.go for those about documents:
//
//	channel C [heads=K,K] [need=N] [root=K,K] [rootneed=N] [witness=K,K] [quorum=N] [maxage=D] [expires=D]
//	log L channel=C [writer=W]   an empty log
//	copy L2 L SIZE               a log that begins like L
//	post L TEXT | posts L N      entries
//	sign L [key=K,K]             a head over all entries of L
//	update U L [from=N]          what L sends to a follower of N entries
//	alone U L                    the newest head of L, without anything else
//	head U U2                    puts the head of U2 into U
//	addline U U2                 adds the first signature line of U2's head to that of U
//	entry U N TEXT               replaces the N-th entry that U carries
//	hash U N                     spoils the N-th hash that U carries
//	edit U "old" "new"           replaces text in the encoded U, repeat=N: many times
//	signed U "line\nline\n"      an update whose head is any text, correctly signed
//	follower F C                 somebody who knows the root of C
//	deliver F U [writer=W]       F receives U
//	range F U L [spoil]          F receives what L says stands before U, or of its base
//	first F U U U                F meets the channel through several sources
//	forks F F2                   F2 receives the proof that F found
//	pass U F [from=N]            U is what F sends to others
//	flip F U                     F receives U with each bit flipped, one after another
//	state F [writer=W]           what F shows
//	restart F                    F forgets all but its file
//	clock D                      the time goes on
//	root F C [edit "old" "new"]  a stranger F receives the root of C
//
// What stands behind => is what a follower says to it.
func TestAttacks(t *testing.T) {
	played := 0
	err := filepath.WalkDir(filepath.Join("testdata", "attacks"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		played++
		t.Run(strings.TrimSuffix(filepath.ToSlash(path)[len("testdata/attacks/"):], ".txtar"), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			play(t, b)
		})
		return nil
	})
	if err != nil || played == 0 {
		t.Fatalf("%d transcripts: %v", played, err)
	}
}

type stage struct {
	testing.TB
	now       time.Time
	channels  map[string]*Root
	logs      map[string]*Log
	updates   map[string][]byte
	followers map[string]*Trusted
	targets   map[string]*Targets
}

func play(t *testing.T, text []byte) {
	a := txtar.Parse(text)
	if len(a.Files) != 1 || a.Files[0].Name != "attack" || len(a.Comment) < 40 {
		t.Fatal("a transcript has a comment and one part, attack")
	}
	s := &stage{t, testTime, map[string]*Root{}, map[string]*Log{}, map[string][]byte{}, map[string]*Trusted{}, map[string]*Targets{}}
	expected := 0
	for i, line := range strings.Split(string(a.Files[0].Data), "\n") {
		line, _, _ = strings.Cut(line, " # ")
		command, want, expects := strings.Cut(line, " => ")
		words, options := tokens(t, command)
		if len(words) == 0 {
			continue
		}
		got := s.run(words, options)
		if expects {
			expected++
		}
		if got != strings.TrimSpace(want) {
			t.Fatalf("line %d: %s\n got: %s\nwant: %s", i+1, command, got, want)
		}
	}
	if expected == 0 {
		t.Fatal("nothing is expected in this transcript")
	}
}

// tokens splits a command into words, which may be quoted as in Go, and options.
func tokens(t testing.TB, line string) (words []string, options map[string]string) {
	options = map[string]string{}
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if quoted, err := strconv.QuotedPrefix(line); err == nil {
			w, err := strconv.Unquote(quoted)
			if err != nil {
				t.Fatal(err)
			}
			words, line = append(words, w), line[len(quoted):]
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if key, value, ok := strings.Cut(word, "="); ok {
			options[key] = value
		} else {
			words = append(words, word)
		}
		line = rest
	}
	return words, options
}

func namedKey(name string) ed25519.PrivateKey {
	switch name {
	case "root":
		return rootKey
	case "online":
		return onlineKey
	}
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func namedKeys(list string) (keys []ed25519.PrivateKey) {
	for name := range strings.SplitSeq(list, ",") {
		keys = append(keys, namedKey(name))
	}
	return keys
}

func (s *stage) number(text string, otherwise int64) int64 {
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		s.Fatal(err)
	}
	return n
}

func (s *stage) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.Fatal(err)
	}
	return d
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// run plays one command and returns what a follower says to it.
func (s *stage) run(w []string, o map[string]string) string {
	switch w[0] {
	case "channel":
		s.channels[w[1]] = s.channel(w[1], o)
	case "log":
		s.logs[w[1]] = s.newLog(s.channels[o["channel"]].ID(), or(o["writer"], MainWriter))
	case "copy":
		from := s.logs[w[2]]
		s.logs[w[1]] = s.newLog(from.id, from.writer)
		for i := range s.number(w[3], 0) {
			e, err := from.Entry(i)
			s.must(err)
			_, err = s.logs[w[1]].Append(e)
			s.must(err)
		}
	case "post":
		_, err := s.logs[w[1]].Append(post(strings.Join(w[2:], " ")))
		s.must(err)
	case "posts":
		for _, text := range numbered(int(s.number(w[2], 0))) {
			_, err := s.logs[w[1]].Append(post(text))
			s.must(err)
		}
	case "sign":
		s.sign(s.logs[w[1]], namedKeys(or(o["key"], "online")))
	case "clock":
		s.now = s.now.Add(s.duration(w[1]))
	case "follower":
		s.followers[w[1]] = follower(s, s.channels[w[2]])
	case "restart":
		s.followers[w[1]] = restart(s, s.followers[w[1]])
	case "state":
		return s.followers[w[1]].State(or(o["writer"], MainWriter), s.now).String()
	case "root":
		raw := s.channels[w[2]].Bytes()
		if len(w) > 3 {
			raw = s.replace(raw, w[4], w[5], o)
		}
		return s.verdict(Accepted{Changed: true}, NewTrusted(s.channels[w[2]].ID()).UpdateRoot(raw), nil, MainWriter)
	case "update", "alone", "head", "addline", "entry", "hash", "edit", "signed", "pass":
		s.forge(w, o)
	default:
		return s.documents(w, o)
	}
	return ""
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) newLog(id ID, writer string) *Log {
	l, err := NewLog(id, writer, &Memory{}, 1)
	s.must(err)
	return l
}

func (s *stage) channel(name string, o map[string]string) *Root {
	p := testParams()
	p.Title = name
	p.Timestamp = oneKey(namedKeys(or(o["heads"], "online"))...)
	p.Timestamp.Threshold = int(s.number(o["need"], 0))
	p.MaxAge[MainWriter] = s.duration(or(o["maxage"], "24h"))
	p.Root, p.Targets = oneKey(namedKeys(or(o["root"], "root"))...), oneKey(namedKeys(or(o["targets"], "online"))...)
	p.Root.Threshold = int(s.number(o["rootneed"], 0))
	if o["expires"] != "" {
		p.Expires = testTime.Add(s.duration(o["expires"]))
	}
	if o["witness"] != "" {
		p.Quorum = int(s.number(o["quorum"], 1))
		for name := range strings.SplitSeq(o["witness"], ",") {
			p.Witnesses = append(p.Witnesses, NewWitness(name, public(namedKey(name))))
		}
	}
	return newRoot(s, p, namedKeys(or(o["root"], "root"))...)
}

// sign signs with every key, the first as the log does it, the others by a line more.
// Keys called witness… sign under their own name.
func (s *stage) sign(l *Log, keys []ed25519.PrivateKey) {
	raw, err := l.SignHead(keys[0], s.now)
	s.must(err)
	for _, k := range keys[1:] {
		name := l.head.Origin
		for _, w := range []string{"witness1", "witness2"} {
			if k.Equal(namedKey(w)) {
				name = w
			}
		}
		line, err := cosign(l.head.Text(), name, public(k), k, s.now.Unix())
		s.must(err)
		raw = append(raw, line...)
	}
	l.head.Raw = raw
}

func (s *stage) replace(b []byte, old, new string, o map[string]string) []byte {
	if !bytes.Contains(b, []byte(old)) {
		s.Fatalf("%q is not in %q", old, b)
	}
	return bytes.Replace(b, []byte(old), []byte(strings.Repeat(new, int(s.number(o["repeat"], 1)))), 1)
}

// forge makes or changes an update.
func (s *stage) forge(w []string, o map[string]string) {
	name := w[1]
	u, _ := ParseUpdate(s.updates[name])
	writer := or(o["writer"], MainWriter)
	switch w[0] {
	case "update":
		u = updateFor(s, s.logs[w[2]], s.number(o["from"], 0))
	case "alone":
		u = Update{Head: s.logs[w[2]].head.Raw}
	case "pass":
		var ok bool
		if u, ok = s.followers[w[2]].UpdateFor(writer, s.number(o["from"], 0)); !ok {
			s.Fatalf("%s cannot serve that", w[2])
		}
	case "head":
		other, err := ParseUpdate(s.updates[w[2]])
		s.must(err)
		u.Head = other.Head
	case "addline":
		other, err := ParseUpdate(s.updates[w[2]])
		s.must(err)
		u.Head = append(u.Head, bytes.SplitAfter(other.Head, []byte("\n"))[4]...)
	case "entry":
		u.Entries[s.number(w[2], 0)] = post(w[3])
	case "hash":
		u.Hashes[s.number(w[2], 0)][5] ^= 1
	case "edit":
		s.updates[name] = s.replace(s.updates[name], w[2], w[3], o)
		return
	case "signed":
		origin, _, _ := strings.Cut(w[2], "\n")
		line, err := cosign(w[2], origin, public(onlineKey), onlineKey, s.now.Unix())
		s.must(err)
		u = Update{Head: []byte(w[2] + "\n" + line)}
	}
	s.updates[name] = u.Bytes()
}

// receive lets a follower judge something.
func (s *stage) receive(w []string, o map[string]string) string {
	f, writer := s.followers[w[1]], or(o["writer"], MainWriter)
	switch w[0] {
	case "deliver":
		return s.deliver(f, s.updates[w[2]], writer)
	case "range":
		u, err := ParseUpdate(s.updates[w[2]])
		s.must(err)
		size := u.Size
		if state := f.writer(writer); state.rangeless {
			size = state.base.Size
		}
		rng, err := s.logs[w[3]].Range(0, size)
		s.must(err)
		if len(w) > 4 {
			rng[0][7] ^= 1
		}
		acc, err := f.UpdateRange(writer, u, rng, s.now)
		return s.verdict(acc, err, f, writer)
	case "first":
		var updates []Update
		for _, name := range w[2:] {
			u, err := ParseUpdate(s.updates[name])
			s.must(err)
			updates = append(updates, u)
		}
		acc, err := f.FirstContact(writer, updates, s.now)
		return s.verdict(acc, err, f, writer)
	case "forks":
		proof, err := ParseFork(f.Fork(writer).Bytes())
		s.must(err)
		return s.verdict(Accepted{}, s.followers[w[2]].UpdateFork(writer, proof), f, writer)
	case "flip":
		return s.flip(f, s.updates[w[2]])
	}
	s.Fatalf("unknown command %q", w)
	return ""
}

func (s *stage) deliver(f *Trusted, b []byte, writer string) string {
	u, err := ParseUpdate(b)
	if err != nil {
		return s.verdict(Accepted{}, err, f, writer)
	}
	acc, err := f.UpdateHead(writer, u, s.now)
	return s.verdict(acc, err, f, writer)
}

// flip delivers b with each bit flipped to a copy of the follower, who must end as
// before, or as if b had come unchanged.
func (s *stage) flip(f *Trusted, b []byte) string {
	before := f.Bytes()
	good := restart(s, f)
	if got := s.deliver(good, b, MainWriter); !strings.HasPrefix(got, "accepted") {
		return "unchanged: " + got
	}
	after := good.Bytes()
	for i := range 8 * len(b) {
		bad := slices.Clone(b)
		bad[i/8] ^= 1 << (i % 8)
		copied := copyOf(f)
		verdict := s.deliver(copied, bad, MainWriter)
		if got := copied.Bytes(); !bytes.Equal(got, before) && !bytes.Equal(got, after) {
			return fmt.Sprintf("bit %d: %s, and the state is another", i, verdict)
		}
	}
	return "refused or equal"
}

// verdict puts what a call returned into words.
func (s *stage) verdict(acc Accepted, err error, f *Trusted, writer string) string {
	var needs []string
	if acc.Needs.Root > 0 {
		needs = append(needs, fmt.Sprint(", needs root ", acc.Needs.Root))
	}
	if acc.Needs.Update {
		needs = append(needs, fmt.Sprint(", needs update from ", acc.Needs.Size))
	}
	if acc.Needs.Range {
		needs = append(needs, fmt.Sprint(", needs range ", acc.Needs.Size))
	}
	if acc.Needs.Grant > 0 {
		needs = append(needs, fmt.Sprint(", needs grant ", acc.Needs.Grant-1))
	}
	if acc.Needs.Targets != [32]byte{} {
		needs = append(needs, ", needs targets")
	}
	return outcome(acc, err, f, writer) + strings.Join(needs, "")
}
