package keyfile

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"strings"

	"handful/signing"
)

const (
	maxExport = 1 << 20 // bytes
	rootBlock = "HANDFUL ROOT"

	targetsBlock = "HANDFUL TARGETS" // the newest targets document
)

// Export writes all secrets of the channel into one text, to be kept where only its
// owner can read it.
//
// A log of what was published is not part of it: whoever imports it elsewhere must
// catch up with the network before publishing.
func (k *Keys) Export() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Handful channel %s\nThese are its secret keys: who has this file can publish as the channel and take it over.\n\n", k.ID)
	for _, r := range k.Roots {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: rootBlock, Bytes: r.Bytes()}))
	}
	if doc := k.Document(); doc != nil {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: targetsBlock, Bytes: doc.Bytes()}))
	}
	for _, p := range []ed25519.PrivateKey{k.Root, k.Online, k.Targets, k.DHT} {
		if p == nil {
			continue
		}
		text, err := encodeKey(p)
		if err != nil {
			return nil, err
		}
		b.Write(text)
	}
	return b.Bytes(), nil
}

// ParseExport reads an export and checks that its keys fit its root documents. Apart
// from line ends it must be as [Keys.Export] writes it.
func ParseExport(text []byte) (*Keys, error) {
	if len(text) > maxExport {
		return nil, fmt.Errorf("key export: %w: %d bytes, but at most %d are possible", ErrDamaged, len(text), maxExport)
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	first, _, _ := strings.Cut(string(text), "\n")
	name, ok := strings.CutPrefix(first, "Handful channel ")
	if !ok {
		return nil, fmt.Errorf("key export: %w: it does not begin with \"Handful channel\"", ErrDamaged)
	}
	id, err := signing.ParseID(name)
	if err != nil {
		return nil, fmt.Errorf("key export: %w", err)
	}
	var docs [][]byte
	var private []ed25519.PrivateKey
	var granted []*signing.Targets
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == rootBlock {
			docs = append(docs, block.Bytes)
			continue
		}
		if block.Type == targetsBlock {
			doc, err := signing.ParseTargets(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("key export: %w: %w", ErrDamaged, err)
			}
			granted = append(granted, doc)
			continue
		}
		p, err := decodeKey(block)
		if err != nil {
			return nil, fmt.Errorf("key export: %w", err)
		}
		private = append(private, p)
	}
	k, err := newKeys(id, docs, private)
	if err != nil {
		return nil, fmt.Errorf("key export of channel %s: %w", id, err)
	}
	k.Documents = granted
	again, err := k.Export()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(bytes.TrimSpace(again), bytes.TrimSpace(text)) {
		return nil, fmt.Errorf("key export of channel %s: %w: text was changed, added or lost", id, ErrDamaged)
	}
	return k, nil
}

// Import makes the channel's directory in dir from an export. Where the same keys are
// already, it does nothing.
func Import(dir string, text []byte) (*Keys, error) {
	k, err := ParseExport(text)
	if err != nil {
		return nil, err
	}
	held, err := Open(dir, k.ID)
	if err == nil {
		a, errA := held.Export()
		b, errB := k.Export()
		if errA == nil && errB == nil && bytes.Equal(a, b) {
			return held, nil
		}
	}
	if err := k.write(dir); err != nil {
		return nil, fmt.Errorf("import channel %s: %w", k.ID, err)
	}
	return k, nil
}
