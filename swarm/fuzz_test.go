package swarm

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"handful/swarm/store"
)

func FuzzParseHello(f *testing.F) {
	f.Add(hello{Site: "berlin", Machine: [32]byte{1}}.bytes()[1:])
	f.Add([]byte("d1:l0:1:m32:" + string(make([]byte, 32)) + "1:xli1eee"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err != nil {
			return
		}
		if len(h.Site) > maxLabel {
			t.Errorf("label of %d bytes", len(h.Site))
		}
		again, err := parseHello(h.bytes()[1:])
		if err != nil || again != h {
			t.Errorf("%+v prints as %+v: %v", h, again, err)
		}
	})
}

func FuzzParsePieceList(f *testing.F) {
	f.Add(pieceList(kindGrant, []int{0, 7, 41})[1:], 42)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, 1<<31)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		pieces, err := parsePieceList(b, n)
		if err != nil {
			return
		}
		if len(pieces) == 0 || len(pieces) > maxPieceList {
			t.Errorf("%d pieces", len(pieces))
		}
		for _, p := range pieces {
			if p < 0 || p >= n {
				t.Errorf("piece %d of %d", p, n)
			}
		}
		if again := pieceList(kindGrant, pieces)[1:]; !bytes.Equal(again, b) {
			t.Errorf("%x prints as %x", b, again)
		}
	})
}

func FuzzParseLayerMessage(f *testing.F) {
	f.Add(layerMessage{Root: [32]byte{1}, Offset: 64}.bytes(kindAskLayer)[1:])
	f.Add(layerMessage{Root: [32]byte{2}, Total: 96, Data: make([]byte, 96)}.bytes(kindLayer)[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseLayerMessage(b)
		if err != nil {
			return
		}
		if m.Offset < 0 || m.Total < 0 || m.Total > maxLayerBytes || len(m.Data) > layerPart {
			t.Errorf("%d bytes at %d of %d", len(m.Data), m.Offset, m.Total)
		}
		again, err := parseLayerMessage(m.bytes(kindLayer)[1:])
		if err != nil || again.Root != m.Root || again.Offset != m.Offset || again.Total != m.Total || !bytes.Equal(again.Data, m.Data) {
			t.Errorf("%+v prints as %+v: %v", m, again, err)
		}
	})
}

func FuzzParsePEX(f *testing.F) {
	f.Add(pexMessage(addrPorts("192.0.2.1:6881", "[2001:db8::1]:6882"), addrPorts("192.0.2.2:1")))
	f.Add([]byte("d5:added6:\x00\x00\x00\x00\x00\x00e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		added, err := parsePEX(b)
		if err != nil {
			return
		}
		if len(added) > 2*pexMax {
			t.Errorf("%d addresses", len(added))
		}
		again, err := parsePEX(pexMessage(added, nil))
		if err != nil || len(again) != len(added) {
			t.Errorf("%v prints as %v: %v", added, again, err)
		}
		for _, ap := range added {
			newBook().add(ap, fromPEX)
		}
	})
}

func FuzzParsePathMessage(f *testing.F) {
	f.Add(pathMessage{All: true, Where: store.Whereabouts{Root: "/srv/data"}}.bytes()[1:])
	f.Add(pathMessage{Where: store.Whereabouts{Tops: map[string]string{"a": "/a", "b": "/srv/b"}}}.bytes()[1:])
	f.Add([]byte("d1:d9:../../etce"))
	f.Add([]byte("d1:d2:/\x00e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parsePathMessage(b)
		if err != nil {
			return
		}
		for _, p := range append(slices.Collect(maps.Values(m.Where.Tops)), m.Where.Root) {
			if p != "" && (!filepath.IsAbs(p) || len(p) > maxPath || strings.ContainsRune(p, 0)) {
				t.Errorf("path %q", p)
			}
		}
		again, err := parsePathMessage(m.bytes()[1:])
		if err != nil || again.All != m.All || again.Where.Root != m.Where.Root || !maps.Equal(again.Where.Tops, m.Where.Tops) {
			t.Errorf("%+v prints as %+v: %v", m, again, err)
		}
	})
}
