package channel

import (
	"bytes"
	"testing"
)

var samples = []message{
	{topic: topicUpdate, writer: "m"},
	{topic: topicUpdate, writer: "m", answer: true, value: []byte("x")},
	{topic: topicRoot, number: 1},
	{topic: topicRoot, number: 1, answer: true, offset: 32768, total: 40000, value: []byte("{}")},
	{topic: topicPage, writer: "a-b", first: 7, number: 9},
	{topic: topicPage, writer: "m", answer: true, value: []byte("d")},
	{topic: topicRange, writer: "m", number: 5},
	{topic: topicRange, writer: "m", number: 5, answer: true, value: make([]byte, 64)},
	{topic: topicTargets, hash: [32]byte{1, 31: 2}, offset: 32768},
	{topic: topicTargets, hash: [32]byte{1, 31: 2}, answer: true, offset: 32768, total: 200000, value: []byte("{}")},
	{topic: topicUpdate, writer: "m", number: 7, room: 1200},
	{topic: topicPage, writer: "m", first: 7, number: 900, most: 512},
	{topic: topicHas, writer: "m", answer: true, number: 9, offset: 2, total: 1766400000},
	{topic: topicHas, writer: "m", answer: true, number: 9, offset: 2, total: 1766400000, root: 3, targets: 12},
	{topic: topicHere, writer: "alice", answer: true, total: 1766400000123, value: make([]byte, 64)},
	{topic: topicHere, writer: "alice", answer: true, total: 1766400000123, left: true, value: make([]byte, 64)},
	{topic: topicFork, writer: "alice", answer: true, value: []byte("de")},
}

func TestMessages(t *testing.T) {
	for _, m := range samples {
		b := m.bytes()
		got, err := parse(b)
		if err != nil {
			t.Errorf("%q: %v", b, err)
			continue
		}
		if again := got.bytes(); !bytes.Equal(again, b) {
			t.Errorf("%q came back as %q", b, again)
		}
	}
	if got := string(samples[0].bytes()); got != "d1:ni0e1:q3:upd1:w1:me" {
		t.Errorf("the documented ask is %s", got)
	}
}

func TestMalformed(t *testing.T) {
	for _, s := range []string{
		"", "de", "d1:q3:foo1:w1:me", "d1:q3:upd1:w2:..e", "d1:q3:upde", "d1:q3:upd1:r3:upd1:w1:me",
		"d1:ni-1e1:q3:upd1:w1:me", "d1:ni1e1:oi-1e1:q4:roote", "d1:r5:range1:v3:abc1:w1:me",
		"d1:ni1e1:oi0e1:r4:root1:ti99999999e1:v1:xe", "d1:q3:upd1:w1:mei0e",
		"d1:oi0e1:q3:tgte", "d1:h1:x1:oi0e1:q3:tgte", "d1:q4:fork1:w1:me", "d1:ni1e1:oi0e1:q3:has1:ti0e1:w1:me", "d1:ni1e1:oi2e1:r3:has1:ti0e1:w1:me", "d1:li-1e1:ni1e1:q3:upd1:w1:me",
		"d1:r4:fork1:v2:dee", "d1:q4:here1:ti1e1:w1:me", "d1:r4:here1:ti1e1:v2:xx1:w1:me",
		"d1:h32:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1:oi262145e1:q3:tgte",
		"d1:h32:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1:oi0e1:r3:tgt1:ti262145e1:v1:xe",
	} {
		if m, err := parse([]byte(s)); err == nil {
			t.Errorf("%q was accepted as %+v", s, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, m := range samples {
		f.Add(m.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		again, err := parse(m.bytes())
		if err != nil || !bytes.Equal(again.bytes(), m.bytes()) {
			t.Fatalf("%q parsed as %+v, which prints as %q: %v", b, m, m.bytes(), err)
		}
	})
}
