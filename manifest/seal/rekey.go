package seal

import (
	"bytes"
	"fmt"
	"strings"

	"filippo.io/age"

	"handful/manifest"
)

// SealKey encrypts a read key for readers, as the box of a manifest.Rekey. This is made by
// package age, which draws the randomness for it itself. Readers with post-quantum keys
// (age1pq1…) and others cannot be mixed.
func SealKey(k Key, readers []Member) ([]byte, error) {
	if len(readers) == 0 {
		return nil, fmt.Errorf("send a read key: there is nobody to send it to")
	}
	var to []age.Recipient
	for _, m := range readers {
		r, err := parseRecipient(m.Recipient)
		if err != nil {
			return nil, fmt.Errorf("send a read key to %s: %w", m.Name, err)
		}
		to = append(to, r)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	if err == nil {
		_, err = w.Write([]byte(k.Text() + "\n"))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("send a read key: %w", err)
	}
	return b.Bytes(), nil
}

// OpenKey returns the read key in the box of a manifest.Rekey. Errors wrap ErrKey when it
// was not sent to any of the identities, else ErrMalformed.
func OpenKey(box []byte, own []age.Identity) (Key, error) {
	if len(own) == 0 {
		return Key{}, fmt.Errorf("open a read key: %w: there is none", ErrKey)
	}
	plain, err := openBox(box, 1<<10, own)
	if err != nil {
		return Key{}, fmt.Errorf("open a read key: %w", err)
	}
	line, ok := strings.CutSuffix(string(plain), "\n")
	if !ok {
		return Key{}, fmt.Errorf("open a read key: %w: it is no line", ErrMalformed)
	}
	return ParseKey(line)
}

// Member is a reader who gets new read keys through the channel.
type Member struct {
	Name      string // [a-z0-9][a-z0-9._-]{0,31}; the publisher's own
	Recipient string // age1…
}

// NewMember checks a name and a public key of age.
func NewMember(name, recipient string) (Member, error) {
	if !validName(name) {
		return Member{}, fmt.Errorf("%w: %.40q is no name of a reader: 1 to 32 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit", ErrMalformed, name)
	}
	if strings.HasPrefix(strings.ToUpper(recipient), "AGE-SECRET-KEY-") {
		return Member{}, fmt.Errorf("%w: this is a reader's secret key; ask for the other half, which begins with age1", ErrMalformed)
	}
	if _, err := parseRecipient(recipient); err != nil {
		return Member{}, err
	}
	return Member{name, recipient}, nil
}

func parseRecipient(s string) (age.Recipient, error) {
	var printed string
	var r age.Recipient
	if strings.HasPrefix(s, "age1pq1") {
		h, err := age.ParseHybridRecipient(s)
		if err != nil {
			return nil, fmt.Errorf("%w: %.20q is no public key of age: %w", ErrMalformed, s, err)
		}
		r, printed = h, h.String()
	} else {
		x, err := age.ParseX25519Recipient(s)
		if err != nil {
			return nil, fmt.Errorf("%w: %.20q is no public key of age: %w", ErrMalformed, s, err)
		}
		r, printed = x, x.String()
	}
	if printed != s {
		return nil, fmt.Errorf("%w: %.20q is not written as age writes it", ErrMalformed, s)
	}
	return r, nil
}

func validName(name string) bool {
	if len(name) < 1 || len(name) > 32 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return true
}

// RekeyEntry is the entry that brings a read key to readers. Its error wraps
// manifest.ErrTooLarge when they are too many for one: some 400, or 25 with post-quantum
// keys.
func RekeyEntry(k Key, readers []Member, unixMilli int64, at manifest.Pointers) ([]byte, error) {
	box, err := SealKey(k, readers)
	if err != nil {
		return nil, err
	}
	return manifest.EncodeEntry(manifest.Rekey{Head: manifest.Header{Time: unixMilli, Pointers: at}, Box: box})
}
