package manifest

// KindMedia is the kind of a Media.
const KindMedia = "media"

// Media is any file or set of files: a torrent.
type Media struct {
	Head       Header
	InfoSum    [32]byte // i: SHA-256 of the info dict, which is the v2 infohash where there is one
	InfoHashV1 [20]byte // i1
	HasV1      bool
	Name       string // n: of the file or directory
	Size       int64  // s: bytes, without pads
	Title      string // x
}

// Kind returns KindMedia.
func (m Media) Kind() string { return KindMedia }

// Header returns m.Head.
func (m Media) Header() Header { return m.Head }

// InfoHash returns what names the torrent on the wire.
func (m Media) InfoHash() [20]byte { return wireHash(m.InfoSum, m.InfoHashV1, m.HasV1) }

// Bytes returns the encoding of m.
func (m Media) Bytes() []byte {
	d := m.Head.members(KindMedia)
	d.setTorrent(m.InfoSum, m.InfoHashV1, m.HasV1, m.Size)
	d.setString("n", m.Name)
	if m.Title != "" {
		d.setString("x", m.Title)
	}
	return d.encode()
}

func (d *entryDict) media(h Header) Media {
	m := Media{Name: d.text("n", true), Title: d.text("x", false)}
	m.InfoSum, m.InfoHashV1, m.HasV1, m.Size = d.torrent()
	if d.err == nil {
		if err := checkElement(m.Name); err != nil {
			d.fail("n", "%w", err)
		}
	}
	m.Head = d.rest(h)
	return m
}

// wireHash returns the infohash that BEP 3 and BEP 52 put on the wire.
func wireHash(sum [32]byte, v1 [20]byte, hasV1 bool) [20]byte {
	if hasV1 {
		return v1
	}
	return [20]byte(sum[:20])
}

// setTorrent sets the keys that name a torrent.
func (m members) setTorrent(sum [32]byte, v1 [20]byte, hasV1 bool, size int64) {
	m.setString("i", string(sum[:]))
	if hasV1 {
		m.setString("i1", string(v1[:]))
	}
	m.setInt("s", size)
}

// torrent reads the keys that name a torrent.
func (d *entryDict) torrent() (sum [32]byte, v1 [20]byte, hasV1 bool, size int64) {
	d.fixed("i", true, sum[:])
	hasV1 = d.fixed("i1", false, v1[:])
	size = d.integer("s", true, maxMillis, 0)
	return sum, v1, hasV1, size
}

// Match tells whether t is the torrent that the entry with these hashes names.
func (t *Torrent) Match(sum [32]byte, v1 [20]byte, hasV1 bool) bool {
	return t.infoSum == sum && t.v1 == hasV1 && (!hasV1 || t.infoSHA1 == v1)
}
