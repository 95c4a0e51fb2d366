package manifest

// Kinds of entries of a private channel.
const (
	KindSealed = "seal"
	KindRekey  = "rekey"
)

// Sealed is an entry of a private channel: another entry, encrypted. Beside it stands
// in the clear what those need who pass content on without reading it; package seal
// makes and opens it.
type Sealed struct {
	Head Header
	Box  []byte // b: an age file whose plaintext is the entry, padded with zeros

	// Of an entry with content: the torrent of the ciphertext.
	HasContent bool
	InfoSum    [32]byte // i
	InfoHashV1 [20]byte // i1
	HasV1      bool
	Size       int64 // s: bytes of the ciphertext

	// Of an entry that asks to drop an earlier one.
	Drops bool
	Index int64 // n
}

// Kind returns KindSealed.
func (e Sealed) Kind() string { return KindSealed }

// Header returns e.Head.
func (e Sealed) Header() Header { return e.Head }

// InfoHash returns what names the torrent on the wire.
func (e Sealed) InfoHash() [20]byte { return wireHash(e.InfoSum, e.InfoHashV1, e.HasV1) }

// Bytes returns the encoding of e.
func (e Sealed) Bytes() []byte {
	m := e.Head.members(KindSealed)
	m.setString("b", string(e.Box))
	if e.HasContent {
		m.setTorrent(e.InfoSum, e.InfoHashV1, e.HasV1, e.Size)
	}
	if e.Drops {
		m.setInt("n", e.Index)
	}
	return m.encode()
}

func (d *entryDict) sealed(h Header) Sealed {
	e := Sealed{Box: d.bytes("b", true)}
	for _, key := range []string{"i", "i1", "s"} {
		_, there := d.members[key]
		e.HasContent = e.HasContent || there
	}
	if e.HasContent {
		e.InfoSum, e.InfoHashV1, e.HasV1, e.Size = d.torrent()
	}
	_, e.Drops = d.members["n"]
	e.Index = d.integer("n", false, maxMillis, 0)
	e.Head = d.rest(h)
	return e
}

// Rekey carries a read key of a private channel to its readers.
type Rekey struct {
	Head Header
	Box  []byte // b: an age file for the readers; its plaintext is the key
}

// Kind returns KindRekey.
func (e Rekey) Kind() string { return KindRekey }

// Header returns e.Head.
func (e Rekey) Header() Header { return e.Head }

// Bytes returns the encoding of e.
func (e Rekey) Bytes() []byte {
	m := e.Head.members(KindRekey)
	m.setString("b", string(e.Box))
	return m.encode()
}

func (d *entryDict) rekey(h Header) Rekey {
	e := Rekey{Box: d.bytes("b", true)}
	e.Head = d.rest(h)
	return e
}

// bytes reads a string of any bytes, but not of none.
func (d *entryDict) bytes(key string, needed bool) []byte {
	r := d.reader(key, needed)
	if r == nil {
		return nil
	}
	b := r.Bytes()
	if d.end(key, r) && len(b) == 0 {
		d.fail(key, "it is empty")
	}
	return b
}
