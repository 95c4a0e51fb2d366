package swarm

import (
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"handful/manifest/bencode"
	"handful/swarm/store"
)

// Kinds of an hf_swarm payload between two nodes of one host.
const (
	kindAskPath byte = 8
	kindPath    byte = 9
)

const (
	maxPathMessage = 64 << 10 // bytes of a path message
	maxPath        = 4096     // bytes of a path in it
	maxTops        = 1024     // paths in it
)

// pathMessage says where the sender's files lie. With no path in it: not to be had.
type pathMessage struct {
	All   bool // the sender has every piece
	Where store.Whereabouts
}

func (m pathMessage) empty() bool { return m.Where.Root == "" && len(m.Where.Tops) == 0 }

// bytes prints the message; without any path if it would be too long.
func (m pathMessage) bytes() []byte {
	b := append([]byte{kindPath}, 'd')
	if m.All {
		b = bencode.AppendString(b, "a")
		b = bencode.AppendInt(b, 1)
	}
	if m.Where.Root != "" {
		b = bencode.AppendString(b, "d")
		b = bencode.AppendString(b, m.Where.Root)
	}
	if len(m.Where.Tops) > 0 {
		b = bencode.AppendString(b, "t")
		b = append(b, 'd')
		for _, top := range slices.Sorted(maps.Keys(m.Where.Tops)) {
			b = bencode.AppendString(b, top)
			b = bencode.AppendString(b, m.Where.Tops[top])
		}
		b = append(b, 'e')
	}
	b = append(b, 'e')
	if _, err := parsePathMessage(b[1:]); err != nil {
		return []byte{kindPath, 'd', 'e'}
	}
	return b
}

// parsePathMessage reads the body behind the kind byte.
func parsePathMessage(body []byte) (m pathMessage, err error) {
	if len(body) > maxPathMessage {
		return m, fmt.Errorf("%w: %d bytes of paths", errWire, len(body))
	}
	r := bencode.NewReader(body)
	path := func() string {
		p := r.String()
		if r.Err() == nil && !plausible(p) {
			r.Fail(fmt.Errorf("%w: path %.100q", errWire, p))
		}
		return p
	}
	r.Dict(func(key string) {
		switch key {
		case "a":
			m.All = r.Int() == 1
		case "d":
			m.Where.Root = path()
		case "t":
			m.Where.Tops = make(map[string]string)
			r.Dict(func(top string) {
				if len(m.Where.Tops) >= maxTops || top == "" {
					r.Fail(fmt.Errorf("%w: %d paths, one named %.100q", errWire, len(m.Where.Tops), top))
					return
				}
				m.Where.Tops[top] = path()
			})
		default:
			r.Skip()
		}
	})
	if err := r.End(); err != nil {
		return pathMessage{}, err
	}
	if m.Where.Root != "" && len(m.Where.Tops) > 0 {
		return pathMessage{}, fmt.Errorf("%w: one path and several", errWire)
	}
	return m, nil
}

// plausible tells whether a path may be looked at: absolute, in its shortest form,
// on a disk of this host. On Windows even to look at a path of another kind makes
// the system log in elsewhere.
func plausible(p string) bool {
	if p == "" || len(p) > maxPath || strings.ContainsRune(p, 0) || !filepath.IsAbs(p) || filepath.Clean(p) != p {
		return false
	}
	return runtime.GOOS != "windows" || len(filepath.VolumeName(p)) == 2
}
