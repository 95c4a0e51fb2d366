package manifest

// KindRelease is the kind of a Release.
const KindRelease = "rel"

// Everyone is the Rollout of a release that all installations may take.
const Everyone = 1000

// Release is a version of a product for one platform.
type Release struct {
	Head       Header
	Version    string   // v
	OS         string   // os: such as linux/amd64; empty: any
	InfoSum    [32]byte // i: as in Media
	InfoHashV1 [20]byte // i1
	HasV1      bool
	Size       int64  // s: bytes, without pads
	MinVersion string // min: the oldest version that may stay; empty: any
	// Rollout is how many of a thousand installations may take it. Zero holds it
	// back from all; Everyone, which the encoding leaves out, from nobody.
	Rollout int
}

// Kind returns KindRelease.
func (r Release) Kind() string { return KindRelease }

// Header returns r.Head.
func (r Release) Header() Header { return r.Head }

// InfoHash returns what names the torrent on the wire.
func (r Release) InfoHash() [20]byte { return wireHash(r.InfoSum, r.InfoHashV1, r.HasV1) }

// Bytes returns the encoding of r.
func (r Release) Bytes() []byte {
	d := r.Head.members(KindRelease)
	d.setTorrent(r.InfoSum, r.InfoHashV1, r.HasV1, r.Size)
	d.setString("v", r.Version)
	if r.OS != "" {
		d.setString("os", r.OS)
	}
	if r.MinVersion != "" {
		d.setString("min", r.MinVersion)
	}
	if r.Rollout != Everyone {
		d.setInt("roll", int64(r.Rollout))
	}
	return d.encode()
}

func (d *entryDict) release(h Header) Release {
	r := Release{Version: d.text("v", true), OS: d.text("os", false), MinVersion: d.text("min", false)}
	r.InfoSum, r.InfoHashV1, r.HasV1, r.Size = d.torrent()
	r.Rollout = int(d.integer("roll", false, Everyone, Everyone))
	if r.Version == "" {
		d.fail("v", "a release without version")
	}
	r.Head = d.rest(h)
	return r
}
