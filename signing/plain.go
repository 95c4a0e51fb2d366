package signing

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
)

// PlainHead puts before the signature lines of a head one of the plain kind of C2SP's
// signed-note (0x01) by a key of its writer, which is how public witnesses know a log. It
// does not count for followers.
func PlainHead(raw []byte, key crypto.Signer) ([]byte, error) {
	h, err := ParseHead(raw)
	if err != nil {
		return nil, err
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("sign head: an Ed25519 key is expected, not %T", key.Public())
	}
	var noRand io.Reader // Ed25519 is deterministic
	sig, err := key.Sign(noRand, []byte(h.Text()), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("sign head: %w", err)
	}
	id := sha256.New()
	id.Write([]byte(h.Origin + "\n\x01"))
	id.Write(public)
	line := "— " + h.Origin + " " + base64.StdEncoding.EncodeToString(append(id.Sum(nil)[:4:4], sig...)) + "\n"
	text := []byte(h.Text() + "\n")
	out := append(append(bytes.Clone(text), line...), raw[len(text):]...)
	_, err = ParseHead(out)
	return out, err
}
