package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// Public keys and signatures as other programs write them.

// maxOutside is the largest file with a key or a signature of another program in bytes.
const maxOutside = 16 << 10

const (
	sshEd25519 = "ssh-ed25519"
	sshP256    = "ecdsa-sha2-nistp256"
	comment    = "untrusted comment:" // begins the files of signify and minisign
)

// ErrOutside: the file of another program is of no form that can sign a document.
var ErrOutside = errors.New("not a usable key or signature")

// ParsePublicKey reads the public key of another program: a PEM block PUBLIC KEY
// (openssl, key management services, PIV), a public key of signify or minisign, or a
// line of OpenSSH.
func ParsePublicKey(file []byte) (Key, error) {
	if len(file) > maxOutside {
		return Key{}, fmt.Errorf("public key: %w: %d bytes, but at most %d are possible", ErrOutside, len(file), maxOutside)
	}
	text := strings.TrimSpace(string(file))
	switch {
	case strings.HasPrefix(text, "-----BEGIN"):
		block, _ := pem.Decode([]byte(text))
		if block == nil || block.Type != pemPublic {
			return Key{}, fmt.Errorf("public key: %w: a PEM block %s is needed; openssl pkey -pubout writes one", ErrOutside, pemPublic)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("public key: %w: %w", ErrOutside, err)
		}
		return NewKey(public)
	case strings.HasPrefix(text, sshEd25519+" "), strings.HasPrefix(text, sshP256+" "):
		return parseSSHKey(strings.Fields(text)[1])
	case strings.HasPrefix(text, "sk-"), strings.HasPrefix(text, "ssh-"), strings.HasPrefix(text, "ecdsa-"):
		kind, _, _ := strings.Cut(text, " ")
		return Key{}, fmt.Errorf("public key: %w: OpenSSH keys of the kind %.40q cannot sign documents, %s and %s can", ErrOutside, kind, sshEd25519, sshP256)
	}
	if strings.HasPrefix(text, comment) {
		_, text, _ = strings.Cut(text, "\n")
		text = strings.TrimSpace(text)
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != 2+8+ed25519.PublicKeySize || string(b[:2]) != "Ed" {
		return Key{}, fmt.Errorf("public key: %w: neither PEM, nor of OpenSSH, signify or minisign", ErrOutside)
	}
	return NewKey(ed25519.PublicKey(b[10:]))
}

func parseSSHKey(text string) (Key, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return Key{}, fmt.Errorf("public key of OpenSSH: %w: %w", ErrOutside, err)
	}
	kind, b, ok := sshString(b)
	if !ok {
		return Key{}, fmt.Errorf("public key of OpenSSH: %w: it is cut off", ErrOutside)
	}
	if string(kind) == sshP256 {
		if _, b, ok = sshString(b); !ok { // the curve, which the kind has said
			return Key{}, fmt.Errorf("public key of OpenSSH: %w: it is cut off", ErrOutside)
		}
	}
	value, rest, ok := sshString(b)
	if !ok || len(rest) > 0 {
		return Key{}, fmt.Errorf("public key of OpenSSH: %w: its lengths do not fit", ErrOutside)
	}
	if string(kind) == sshP256 {
		p, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), value)
		if err != nil {
			return Key{}, fmt.Errorf("public key of OpenSSH: %w: %w", ErrOutside, err)
		}
		return NewKey(p)
	}
	return NewKey(ed25519.PublicKey(value))
}

// sshString reads a string of RFC 4251, section 5, and returns what stands behind it.
func sshString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}

// outsideSignature is a signature as a program wrote it, and the name of that form.
type outsideSignature struct {
	form string
	sig  []byte // 64 bytes of Ed25519, or ECDSA in DER
}

// parseOutside reads a file with a signature. A raw one may look like several forms.
func parseOutside(file []byte) ([]outsideSignature, error) {
	if len(file) > maxOutside {
		return nil, fmt.Errorf("signature: %w: %d bytes, but at most %d are possible", ErrOutside, len(file), maxOutside)
	}
	switch {
	case bytes.HasPrefix(file, []byte(comment)):
		s, err := parseSignify(string(file))
		return []outsideSignature{s}, err
	case bytes.HasPrefix(file, []byte("-----BEGIN SSH SIGNATURE")):
		return nil, fmt.Errorf("signature: %w: ssh-keygen -Y signs a wrapped message, which TUF does not know; let ssh-agent sign the payload itself", ErrOutside)
	}
	if s := rawSignatures(file); len(s) > 0 {
		return s, nil
	}
	if b, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(file))); err == nil {
		if s := rawSignatures(b); len(s) > 0 {
			return s, nil
		}
	}
	return nil, fmt.Errorf("signature: %w: neither 64 bytes of Ed25519, nor ECDSA in DER, nor of minisign -l, signify or ssh-agent", ErrOutside)
}

func rawSignatures(b []byte) (all []outsideSignature) {
	if len(b) == ed25519.SignatureSize {
		all = append(all, outsideSignature{"raw Ed25519", b})
	}
	if len(b) > 1 && b[0] == 0x30 && int(b[1]) == len(b)-2 { // a short SEQUENCE of the right length
		all = append(all, outsideSignature{"ECDSA in DER", b})
	}
	kind, rest, ok := sshString(b)
	if !ok {
		return all
	}
	sig, rest, ok := sshString(rest)
	if !ok || len(rest) > 0 {
		return all
	}
	switch string(kind) {
	case sshEd25519:
		all = append(all, outsideSignature{"ssh-agent Ed25519", sig})
	case sshP256:
		if der, ok := derOfSSH(sig); ok {
			all = append(all, outsideSignature{"ssh-agent ECDSA", der})
		}
	}
	return all
}

// derOfSSH turns the two numbers of RFC 5656, section 3.1.2, into DER.
func derOfSSH(b []byte) ([]byte, bool) {
	r, b, ok := sshString(b)
	s, rest, ok2 := sshString(b)
	if !ok || !ok2 || len(rest) > 0 || len(r) > 33 || len(s) > 33 {
		return nil, false
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
	return der, err == nil
}

// parseSignify reads the files of signify, and of minisign -S -l, which has two lines
// more: they sign the comment, which says nothing about a document.
func parseSignify(text string) (outsideSignature, error) {
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	form := "signify"
	if len(lines) == 4 && strings.HasPrefix(lines[2], "trusted comment:") {
		form = "minisign"
	} else if len(lines) != 2 {
		return outsideSignature{}, fmt.Errorf("signature: %w: a signature of signify has 2 lines, of minisign 4, not %d", ErrOutside, len(lines))
	}
	b, err := base64.StdEncoding.DecodeString(lines[1])
	if err != nil || len(b) != 2+8+ed25519.SignatureSize {
		return outsideSignature{}, fmt.Errorf("signature of %s: %w: its second line is not a signature", form, ErrOutside)
	}
	switch string(b[:2]) {
	case "Ed":
		return outsideSignature{form, b[10:]}, nil
	case "ED":
		return outsideSignature{}, fmt.Errorf("signature of minisign: %w: it signs a hash of the payload; sign again with minisign -S -l", ErrOutside)
	}
	return outsideSignature{}, fmt.Errorf("signature of %s: %w: algorithm %q", form, ErrOutside, b[:2])
}

// Attached tells what a signature that was made elsewhere counts for.
type Attached struct {
	Key    Key
	Form   string // of the file, in words: raw Ed25519, minisign, …
	Own    bool   // a root key of this document
	Before bool   // a root key of the version before
}

// Attach adds a signature over [Root.Payload] that another program made: raw Ed25519 or
// ECDSA in DER (openssl pkeyutl, key management services), also in base64; minisign -S
// -l; signify -S; or what ssh-agent answers. It is found out which root key made it, of
// this document or of before, the version before, which is nil for the first.
func (r *Root) Attach(file []byte, before *Root) (Attached, error) {
	signatures, err := parseOutside(file)
	if err != nil {
		return Attached{}, err
	}
	own, old := r.roles[RoleRoot], Role{}
	if before != nil {
		old = before.roles[RoleRoot]
	}
	for _, s := range signatures {
		for _, k := range append(append([]Key{}, own.Keys...), old.Keys...) {
			if k.verify(r.payload, s.sig) {
				return Attached{Key: k, Form: s.form, Own: own.has(k), Before: old.has(k)}, r.AddSignature(k, s.sig)
			}
		}
	}
	return Attached{}, fmt.Errorf("signature (%s) over version %d of the root document: %w: no root key made it over this payload", signatures[0].form, r.version, ErrForged)
}

// Lacking returns how many signatures the document still needs by its own root role,
// and by that of before, the version before; nil for the first.
func (r *Root) Lacking(before *Root) (own, old int) {
	own = max(0, r.roles[RoleRoot].Threshold-len(r.signedBy(r.roles[RoleRoot])))
	if before != nil {
		role := before.roles[RoleRoot]
		old = max(0, role.Threshold-len(r.signedBy(role)))
	}
	return own, old
}
