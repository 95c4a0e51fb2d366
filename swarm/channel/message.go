package channel

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"handful/manifest/bencode"
	"handful/signing"
)

// Protocol is the name of the extension.
const Protocol = "hf_head"

// Bounds of a message.
const (
	part      = 32 << 10 // of a document
	maxRange  = 64       // nodes of a compact range: one a level of the tree
	maxWriter = 32
)

var errMessage = errors.New("malformed hf_head message")

// The topics of asks and answers.
const (
	topicUpdate  = "upd"
	topicRoot    = "root"
	topicPage    = "page"
	topicRange   = "range"
	topicTargets = "tgt"
	topicFork    = "fork" // of answers only
	topicHas     = "has"  // of answers only
	topicHere    = "here" // of answers only
)

// message is an ask or an answer.
type message struct {
	answer bool
	topic  string
	writer string   // not of documents
	hash   [32]byte // h: of tgt
	number int64    // n: a size or a version
	first  int64    // i: of page
	// o: of documents; of has the first entry that can be asked for; of here how many seconds
	// ago the sender heard it
	offset int64
	// t: of answers about documents; of has when the head was signed, Unix seconds; of here when
	// it was said, Unix ms
	total   int64
	left    bool   // x: of here, that the writer's node has left
	most    int64  // c: entries that an ask for pages wants; 0: one page
	root    int64  // p: of has, the newest root document; 0: not said
	targets int64  // g: of has, the targets document in force; 0: none, or not said
	room    int64  // l: bytes that the answer to an ask for an update may have; 0: signing.MaxUpdate
	value   []byte // v: of answers; aliases what was parsed
}

// document reports whether the message is about a document, which travels in parts.
func (m message) document() bool { return m.topic == topicRoot || m.topic == topicTargets }

// limit returns the largest document of the topic in bytes.
func (m message) limit() int64 {
	if m.topic == topicRoot {
		return signing.MaxRoot
	}
	return signing.MaxTargets
}

func (m message) bytes() []byte {
	b := []byte{'d'}
	integer := func(key string, n int64) {
		b = bencode.AppendString(b, key)
		b = bencode.AppendInt(b, n)
	}
	if m.most > 0 {
		integer("c", m.most)
	}
	if m.targets > 0 {
		integer("g", m.targets)
	}
	if m.topic == topicTargets {
		b = bencode.AppendString(b, "h")
		b = bencode.AppendString(b, m.hash[:])
	}
	if m.topic == topicPage && !m.answer {
		integer("i", m.first)
	}
	if m.room > 0 {
		integer("l", m.room)
	}
	has, here := m.topic == topicHas, m.topic == topicHere
	if m.topic == topicRoot || m.topic == topicRange || has || !m.answer && (m.topic == topicUpdate || m.topic == topicPage) {
		integer("n", m.number)
	}
	if m.document() || has || here {
		integer("o", m.offset)
	}
	if m.root > 0 {
		integer("p", m.root)
	}
	if m.answer {
		b = bencode.AppendString(b, "r")
	} else {
		b = bencode.AppendString(b, "q")
	}
	b = bencode.AppendString(b, m.topic)
	if m.answer && m.document() || has || here {
		integer("t", m.total)
	}
	if m.answer && !has {
		b = bencode.AppendString(b, "v")
		b = bencode.AppendString(b, m.value)
	}
	if !m.document() {
		b = bencode.AppendString(b, "w")
		b = bencode.AppendString(b, m.writer)
	}
	if m.left {
		integer("x", 1)
	}
	return append(b, 'e')
}

// parse reads a message. Unknown keys are ignored.
func parse(b []byte) (m message, err error) {
	r := bencode.NewReader(b)
	kinds, hashed := 0, false
	r.Dict(func(key string) {
		switch key {
		case "q", "r":
			m.answer, m.topic = key == "r", r.String()
			kinds++
		case "w":
			m.writer = string(r.Bytes())
		case "h":
			r.Fixed(m.hash[:])
			hashed = true
		case "n":
			m.number = r.Int()
		case "i":
			m.first = r.Int()
		case "o":
			m.offset = r.Int()
		case "t":
			m.total = r.Int()
		case "c":
			m.most = r.Int()
		case "l":
			m.room = r.Int()
		case "p":
			m.root = r.Int()
		case "g":
			m.targets = r.Int()
		case "v":
			m.value = r.Bytes()
		case "x":
			m.left = r.Int() == 1
		default:
			r.Skip()
		}
	})
	if err := r.End(); err != nil {
		return m, err
	}
	if kinds != 1 {
		return m, fmt.Errorf("%w: it is neither an ask nor an answer", errMessage)
	}
	if m.topic == topicTargets && !hashed {
		return m, fmt.Errorf("%w: a targets document without its hash", errMessage)
	}
	if m.answer || m.topic != topicPage {
		m.most = 0
	}
	if m.answer || m.topic != topicUpdate {
		m.room = 0
	}
	if m.topic != topicHas {
		m.root, m.targets = 0, 0
	}
	m.left = m.left && m.topic == topicHere
	return m, m.check()
}

func (m message) check() error {
	switch m.topic {
	case topicUpdate, topicPage, topicRange, topicFork, topicHas, topicHere:
		if (m.topic == topicFork || m.topic == topicHas || m.topic == topicHere) && !m.answer {
			return fmt.Errorf("%w: %s is told, not asked for", errMessage, m.topic)
		}
		if len(m.writer) > maxWriter || !signing.ValidWriter(m.writer) {
			return fmt.Errorf("%w: writer %.40q", errMessage, m.writer)
		}
	case topicRoot, topicTargets:
		if m.total < 0 || m.total > m.limit() || m.offset < 0 || m.offset > m.limit() || len(m.value) > part {
			return fmt.Errorf("%w: %s part of %d bytes at %d of %d", errMessage, m.topic, len(m.value), m.offset, m.total)
		}
	default:
		return fmt.Errorf("%w: topic %.20q", errMessage, m.topic)
	}
	for _, n := range []int64{m.number, m.first, m.offset, m.total, m.most, m.room, m.root, m.targets} {
		if n < 0 || n > 1<<53 {
			return fmt.Errorf("%w: number out of bounds", errMessage)
		}
	}
	if m.topic == topicHas && (m.offset > m.number || len(m.value) > 0) {
		return fmt.Errorf("%w: %d entries from %d on", errMessage, m.number, m.offset)
	}
	if m.topic == topicHere && len(m.value) != ed25519.SignatureSize {
		return fmt.Errorf("%w: a signature of %d bytes", errMessage, len(m.value))
	}
	if m.answer && m.topic == topicRange && (len(m.value)%32 != 0 || len(m.value)/32 > maxRange) {
		return fmt.Errorf("%w: range of %d bytes", errMessage, len(m.value))
	}
	return nil
}
