package mirror

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"handful/signing"
)

// MaxNews is the largest update that a mirror has in its file, in bytes.
const MaxNews = 8 << 10

// tileHeight is the height of tiles of C2SP: 256 hashes.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// ErrBase: the text is no URL that can be the base of a mirror.
var ErrBase = errors.New("not the base URL of a mirror")

// ParseBase checks the base URL of a mirror or web seed: http or https, with a host, and
// without user, query or fragment. The result ends in a slash.
func ParseBase(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrBase, err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		return "", fmt.Errorf("%w: %.200q: it begins with http:// or https:// and a host", ErrBase, s)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", fmt.Errorf("%w: %.200q: it has neither user nor query nor fragment", ErrBase, s)
	}
	return strings.TrimSuffix(u.String(), "/") + "/", nil
}

// TorrentPath is where the metainfo of an infohash stands below the base.
func TorrentPath(id signing.ID, infohash [20]byte) string {
	return id.String() + "/torrents/" + hex.EncodeToString(infohash[:]) + ".torrent"
}

// FilesPath is the web seed of an infohash below the base; it ends in a slash.
func FilesPath(id signing.ID, infohash [20]byte) string {
	return id.String() + "/files/" + hex.EncodeToString(infohash[:]) + "/"
}

func rootPath(id signing.ID, version int64) string {
	return id.String() + "/" + strconv.FormatInt(version, 10) + ".root.json"
}

func targetsPath(id signing.ID, hash [32]byte) string {
	return id.String() + "/targets/" + hex.EncodeToString(hash[:]) + ".json"
}

func writerPath(id signing.ID, writer, name string) string {
	return id.String() + "/" + writer + "/" + name
}

// tilePath is the path of a tile below its writer: that of package tlog without the
// height, and with the level of entries called so.
func tilePath(t tlog.Tile) string {
	rest := strings.TrimPrefix(t.Path(), "tile/"+strconv.Itoa(tileHeight)+"/")
	if t.L < 0 {
		rest = "entries/" + strings.TrimPrefix(rest, "data/")
	}
	return "tile/" + rest
}

// entryTile is tile n of the entries of a tree of size entries.
func entryTile(n, size int64) tlog.Tile {
	return tlog.Tile{H: tileHeight, L: -1, N: n, W: int(min(tileWidth, size-n*tileWidth))}
}

// joinURL appends a path of unescaped elements to a base.
func joinURL(base string, elements ...string) string {
	var b strings.Builder
	b.WriteString(base)
	for i, e := range elements {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(url.PathEscape(e))
	}
	return b.String()
}

// FileURL is the URL of a file of a torrent at a web seed (BEP 19): name is the torrent's, and
// path the file's below it, none for a torrent of one file. A seed that does not end in
// a slash is the URL of that file itself.
func FileURL(seed, name string, path []string, single bool) string {
	if single && !strings.HasSuffix(seed, "/") {
		return seed
	}
	if !strings.HasSuffix(seed, "/") {
		seed += "/"
	}
	elements := []string{name}
	if !single {
		elements = append(elements, path...)
	}
	return joinURL(seed, elements...)
}
