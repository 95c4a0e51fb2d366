package seal

import (
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/bits"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	chunkLength  = 64 << 10 // bytes of plaintext in a chunk
	tagLength    = chacha20poly1305.Overhead
	sealedLength = chunkLength + tagLength
	keyLength    = 16 // of a file's key, and of the nonce of its payload
)

// stream is one age file (age-encryption.org/v1): what stands before its chunks, and what
// encrypts them.
type stream struct {
	header  []byte // the nonce of the payload is its last part
	fileKey [keyLength]byte
	aead    cipher.AEAD
	plain   int64 // bytes of plaintext
}

// newStream is the stream of a header, nonce included, whose file key is known.
func newStream(header, fileKey []byte, plain int64) (*stream, error) {
	s := &stream{header: header, fileKey: [keyLength]byte(fileKey), plain: plain}
	payload, err := hkdf.Key(sha256.New, fileKey, header[len(header)-keyLength:], "payload", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	s.aead, err = chacha20poly1305.New(payload)
	return s, err
}

// stream makes an age file for this key alone. All that would be random in it is derived
// from the key and from sum, which stands for the plaintext: see the package doc.
func (k Key) stream(label string, sum [32]byte, plain int64) (*stream, error) {
	random := k.derive(label, sum[:], keyLength+32+keyLength)
	fileKey, ephemeral, nonce := random[:keyLength], random[keyLength:keyLength+32], random[keyLength+32:]
	header, err := k.header(fileKey, ephemeral)
	if err != nil {
		return nil, err
	}
	return newStream(append(header, nonce...), fileKey, plain)
}

// header writes the header of an age file with one X25519 recipient.
func (k Key) header(fileKey, ephemeral []byte) ([]byte, error) {
	private, err := ecdh.X25519().NewPrivateKey(ephemeral)
	if err != nil {
		return nil, err
	}
	public, err := ecdh.X25519().NewPublicKey(k.public[:])
	if err != nil {
		return nil, err
	}
	shared, err := private.ECDH(public)
	if err != nil {
		return nil, err
	}
	share := private.PublicKey().Bytes()
	wrap, err := hkdf.Key(sha256.New, shared, append(append([]byte{}, share...), k.public[:]...), "age-encryption.org/v1/X25519", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.New(wrap)
	if err != nil {
		return nil, err
	}
	body := aead.Seal(nil, make([]byte, chacha20poly1305.NonceSize), fileKey, nil)
	b64 := base64.RawStdEncoding
	h := fmt.Appendf(nil, "age-encryption.org/v1\n-> X25519 %s\n%s\n---", b64.EncodeToString(share), b64.EncodeToString(body))
	macKey, err := hkdf.Key(sha256.New, fileKey, nil, "header", sha256.Size)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, macKey)
	mac.Write(h)
	return fmt.Appendf(h, " %s\n", b64.EncodeToString(mac.Sum(nil))), nil
}

// chunks is how many there are: at least one, which may be empty.
func (s *stream) chunks() int64 { return max(1, (s.plain+chunkLength-1)/chunkLength) }

// size is the bytes of the whole file.
func (s *stream) size() int64 { return int64(len(s.header)) + s.plain + tagLength*s.chunks() }

// plainLength is the bytes of plaintext in chunk n.
func (s *stream) plainLength(n int64) int64 { return min(chunkLength, s.plain-n*chunkLength) }

// seal appends chunk n to dst.
func (s *stream) seal(dst, plain []byte, n int64) []byte {
	var nonce [chacha20poly1305.NonceSize]byte // 11 bytes of counter, and whether it is the last one
	for i, c := len(nonce)-2, uint64(n); c > 0; i, c = i-1, c>>8 {
		nonce[i] = byte(c)
	}
	if n == s.chunks()-1 {
		nonce[len(nonce)-1] = 1
	}
	return s.aead.Seal(dst, nonce[:], plain, nil)
}

// padded is the size that n bytes are padded to: PADMÉ, which leaves of a size its binary
// exponent and as many of the bits that follow as the exponent itself needs. It adds 12 %
// at most, and less the larger n is: 3 % above 64 MiB, 1.6 % above 4 GiB.
func padded(n int64) int64 {
	if n < 2 {
		return n
	}
	exponent := bits.Len64(uint64(n)) - 1
	keep := bits.Len(uint(exponent))
	mask := int64(1)<<max(0, exponent-keep) - 1
	return (n + mask) &^ mask
}
