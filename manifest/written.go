package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"handful/manifest/bencode"
)

// spelling is a path in both of its forms.
type spelling struct {
	path    []string // NFC: what it is called in Files and EmptyDirs, or a directory above them
	written []string // as it was on the publisher's disk
}

// below returns the place called name on disk in the directory s. A name that
// is too long for other systems unless it is NFC, as one of Hangul syllables may
// be, is taken for NFC.
func (s spelling) below(name string) spelling {
	stored := nfc(name)
	if len(name) > maxElement {
		name = stored
	}
	return spelling{append(slices.Clip(s.path), stored), append(slices.Clip(s.written), name)}
}

// differs tells whether the last name is spelled in two ways.
func (s spelling) differs() bool {
	n := len(s.path) - 1
	return n >= 0 && s.path[n] != s.written[n]
}

// WrittenName returns what the file or directory is to be called on disk: Name
// as its publisher spelled it, which may not be NFC.
func (t *Torrent) WrittenName() string { return cmp.Or(t.writtenName, t.Name) }

// Written returns where path, below Name, is to be on disk: in the spelling that
// it had on the publisher's. Names that are not known to have had another one
// stay as they are. It may alias path or the Torrent: callers only read.
func (t *Torrent) Written(path []string) []string {
	if t.single && len(path) == 1 && path[0] == t.Name {
		return []string{t.WrittenName()}
	}
	if len(t.written) == 0 {
		return path
	}
	for n := len(path); n > 0; n-- {
		if i, ok := slices.BinarySearchFunc(t.written, path[:n], comparePath); ok {
			return append(slices.Clip(t.written[i].written), path[n:]...)
		}
	}
	return path
}

func comparePath(s spelling, path []string) int { return slices.Compare(s.path, path) }

// hasPrefix tells whether path is at dir or below it.
func hasPrefix(path, dir []string) bool {
	return len(path) >= len(dir) && slices.Equal(path[:len(dir)], dir)
}

// pathBytes is what checkPath counts.
func pathBytes(path []string) (n int) {
	for _, s := range path {
		n += len(s) + 1
	}
	return n
}

// readWritten takes over what an info dict says of other spellings: name, if it
// is not nil, and paths, which ascend and are safe. Each must be another spelling
// of one thing in t, and agree with the others about the directories above it.
func (t *Torrent) readWritten(name *string, paths [][]string) error {
	if name != nil {
		if err := checkElement(*name); err != nil {
			return fmt.Errorf("written name: %w", err)
		}
		if *name == t.Name || nfc(*name) != t.Name {
			return fmt.Errorf("%w: written name %+q is no other spelling of %+q", ErrMalformed, *name, t.Name)
		}
		t.writtenName = *name
	}
	if len(paths) == 0 {
		return nil
	}
	if t.single {
		return fmt.Errorf("%w: a single file with written paths", ErrMalformed)
	}
	places := t.places()
	for _, written := range paths {
		path := make([]string, len(written))
		for i, s := range written {
			path[i] = nfc(s)
		}
		s := spelling{path, written}
		i, _ := slices.BinarySearchFunc(places, path, slices.Compare[[]string])
		if !s.differs() || i == len(places) || !hasPrefix(places[i], path) {
			return fmt.Errorf("%w: written path %+q is no other spelling of a name in the torrent", ErrMalformed, written)
		}
		s.path = places[i][:len(path):len(path)] // not to hold each name twice
		t.written = append(t.written, s)
	}
	slices.SortFunc(t.written, func(a, b spelling) int { return slices.Compare(a.path, b.path) })
	return t.checkWritten(places)
}

// places lists the paths of everything that comes to lie on disk, ascending.
func (t *Torrent) places() [][]string {
	places := make([][]string, 0, len(t.Files)+len(t.EmptyDirs))
	for i := range t.Files {
		if !t.Files[i].Pad {
			places = append(places, t.Files[i].Path)
		}
	}
	places = append(places, t.EmptyDirs...)
	slices.SortFunc(places, slices.Compare[[]string])
	return places
}

// checkWritten refuses spellings that contradict each other or make a path too
// long. That no two become one path needs no check: they would be one in NFC.
func (t *Torrent) checkWritten(places [][]string) error {
	growth := 0
	for i, s := range t.written {
		if i > 0 && slices.Equal(t.written[i-1].path, s.path) {
			return fmt.Errorf("%w: written paths spell %q in two ways", ErrMalformed, s.path)
		}
		n := len(s.path) - 1
		if dir := t.Written(s.path[:n]); !slices.Equal(dir, s.written[:n]) {
			return fmt.Errorf("%w: written paths spell the directory of %+q in two ways, also as %+q", ErrMalformed, s.written, dir)
		}
		growth = max(growth, pathBytes(s.written)-pathBytes(s.path))
	}
	for _, path := range places {
		if pathBytes(path)+growth <= maxPath {
			continue
		}
		if err := checkPath(t.Written(path)); err != nil {
			return fmt.Errorf("written paths: %w", err)
		}
	}
	return nil
}

// appendWritten appends the keys that readWritten reads.
func (t *Torrent) appendWritten(b []byte) []byte {
	if t.writtenName != "" {
		b = bencode.AppendString(append(b, "12:written name"...), t.writtenName)
	}
	if len(t.written) == 0 {
		return b
	}
	paths := make([][]string, len(t.written))
	for i, s := range t.written {
		paths[i] = s.written
	}
	slices.SortFunc(paths, slices.Compare[[]string])
	return appendPaths(b, "written paths", paths)
}

// checkWrittenWindows refuses spellings that Windows would read as something
// else: "<" with a stroke above it is one harmless character in NFC and two when
// it is decomposed.
func (t *Torrent) checkWrittenWindows() error {
	if err := checkWindows(t.WrittenName()); err != nil {
		return err
	}
	for _, s := range t.written {
		if err := checkWindows(s.written[len(s.written)-1]); err != nil {
			return fmt.Errorf("%q: %w", strings.Join(s.written, "/"), err)
		}
	}
	return nil
}
