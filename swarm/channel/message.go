package channel

import (
	"errors"
	"fmt"

	"handful/manifest/bencode"
	"handful/signing"
)

// Protocol is the name of the extension.
const Protocol = "hf_head"

// Bounds of a message.
const (
	rootPart  = 32 << 10
	maxRange  = 64 // nodes of a compact range: one a level of the tree
	maxWriter = 32
)

var errMessage = errors.New("malformed hf_head message")

// The topics of asks and answers.
const (
	topicUpdate = "upd"
	topicRoot   = "root"
	topicPage   = "page"
	topicRange  = "range"
)

// message is an ask or an answer.
type message struct {
	answer bool
	topic  string
	writer string // not of root
	number int64  // n: a size or a version
	first  int64  // i: of page
	offset int64  // o: of root
	total  int64  // t: of an answer about root
	value  []byte // v: of answers; aliases what was parsed
}

func (m message) bytes() []byte {
	b := []byte{'d'}
	integer := func(key string, n int64) {
		b = bencode.AppendString(b, key)
		b = bencode.AppendInt(b, n)
	}
	if m.topic == topicPage && !m.answer {
		integer("i", m.first)
	}
	if !m.answer || m.topic == topicRoot || m.topic == topicRange {
		integer("n", m.number)
	}
	if m.topic == topicRoot {
		integer("o", m.offset)
	}
	if m.answer {
		b = bencode.AppendString(b, "r")
	} else {
		b = bencode.AppendString(b, "q")
	}
	b = bencode.AppendString(b, m.topic)
	if m.answer && m.topic == topicRoot {
		integer("t", m.total)
	}
	if m.answer {
		b = bencode.AppendString(b, "v")
		b = bencode.AppendString(b, m.value)
	}
	if m.topic != topicRoot {
		b = bencode.AppendString(b, "w")
		b = bencode.AppendString(b, m.writer)
	}
	return append(b, 'e')
}

// parse reads a message. Unknown keys are ignored.
func parse(b []byte) (m message, err error) {
	r := bencode.NewReader(b)
	kinds := 0
	r.Dict(func(key string) {
		switch key {
		case "q", "r":
			m.answer, m.topic = key == "r", r.String()
			kinds++
		case "w":
			m.writer = string(r.Bytes())
		case "n":
			m.number = r.Int()
		case "i":
			m.first = r.Int()
		case "o":
			m.offset = r.Int()
		case "t":
			m.total = r.Int()
		case "v":
			m.value = r.Bytes()
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
	return m, m.check()
}

func (m message) check() error {
	switch m.topic {
	case topicUpdate, topicPage, topicRange:
		if len(m.writer) > maxWriter || !signing.ValidWriter(m.writer) {
			return fmt.Errorf("%w: writer %.40q", errMessage, m.writer)
		}
	case topicRoot:
		if m.total < 0 || m.total > signing.MaxRoot || m.offset < 0 || m.offset > signing.MaxRoot || len(m.value) > rootPart {
			return fmt.Errorf("%w: root part of %d bytes at %d of %d", errMessage, len(m.value), m.offset, m.total)
		}
	default:
		return fmt.Errorf("%w: topic %.20q", errMessage, m.topic)
	}
	if m.number < 0 || m.number > 1<<53 || m.first < 0 || m.first > 1<<53 {
		return fmt.Errorf("%w: number out of bounds", errMessage)
	}
	if m.answer && m.topic == topicRange && (len(m.value)%32 != 0 || len(m.value)/32 > maxRange) {
		return fmt.Errorf("%w: range of %d bytes", errMessage, len(m.value))
	}
	return nil
}
