package manifest

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

const (
	maxElement = 255  // bytes of one name, what common file systems take
	maxPath    = 3072 // bytes of a path, so that a destination before it still fits 4096
	maxDepth   = 48   // elements of a path; the file tree nests once for each
)

// checkElement refuses a name that must not become part of a path on any system.
func checkElement(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: empty name", ErrUnsafePath)
	case s == "." || s == "..":
		return fmt.Errorf("%w: %q names a directory relative to another", ErrUnsafePath, s)
	case len(s) > maxElement:
		return fmt.Errorf("%w: name %.40q… has %d bytes, more than %d", ErrUnsafePath, s, len(s), maxElement)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: name %q is not valid UTF-8", ErrUnsafePath, s)
	}
	if i := strings.IndexAny(s, "/\\\x00"); i >= 0 {
		return fmt.Errorf("%w: name %q contains %q", ErrUnsafePath, s, s[i])
	}
	return nil
}

// checkPath refuses a path with an unsafe element, or none, or too many.
func checkPath(path []string) error {
	if len(path) == 0 || len(path) > maxDepth {
		return fmt.Errorf("%w: a path of %d names, 1 to %d are allowed", ErrUnsafePath, len(path), maxDepth)
	}
	for _, s := range path {
		if err := checkElement(s); err != nil {
			return err
		}
	}
	if n := pathBytes(path); n > maxPath {
		return fmt.Errorf("%w: path %.60q… has %d bytes, more than %d", ErrUnsafePath, strings.Join(path, "/"), n, maxPath)
	}
	return nil
}

// checkTarget refuses the target of a symlink that is not below the root. ["."]
// is the root.
func checkTarget(target []string) error {
	if len(target) == 1 && target[0] == "." {
		return nil
	}
	return checkPath(target)
}

// pathKey returns path as a string that sorts like the path, element by element:
// no name contains the separator and it is less than any other byte.
func pathKey(path []string) string { return strings.Join(path, "\x00") }

// checkTree refuses paths that cannot exist beside each other: twice the same one
// after fold, or one that is a file, a symlink or an empty directory and has
// another below it.
func checkTree(files []File, emptyDirs [][]string, fold func(string) string) error {
	type place struct {
		key  string
		path []string
	}
	places := make([]place, 0, len(files)+len(emptyDirs))
	for i := range files {
		if !files[i].Pad {
			places = append(places, place{fold(pathKey(files[i].Path)), files[i].Path})
		}
	}
	for _, dir := range emptyDirs {
		places = append(places, place{fold(pathKey(dir)), dir})
	}
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(a.key, b.key) })
	for i := 1; i < len(places); i++ {
		// Whatever lies below a path sorts right behind it.
		above, below := &places[i-1], &places[i]
		if !strings.HasPrefix(below.key, above.key) {
			continue
		}
		a, b := strings.Join(above.path, "/"), strings.Join(below.path, "/")
		if above.key == below.key {
			return fmt.Errorf("%w: %+q and %+q are the same name", ErrCollision, a, b)
		}
		if below.key[len(above.key)] == 0 {
			return fmt.Errorf("%w: %q lies below %q, which is no directory with content", ErrCollision, b, a)
		}
	}
	return nil
}

// nfc returns s in the form in which names are stored and compared.
func nfc(s string) string { return norm.NFC.String(s) }

// CheckDestination tells whether the tree can be written on a system, named as
// GOOS names it, and is to be asked before the first byte is. Names that
// are unsafe everywhere never get so far; this finds those that are
// unsafe only there: on windows reserved device names, trailing dots and spaces,
// colons (a drive or a stream), wildcards and control characters, and on
// windows, darwin and ios names that differ only by case. Errors wrap
// ErrUnsafePath or ErrCollision.
func (t *Torrent) CheckDestination(goos string) error {
	windows := goos == "windows"
	if !windows && goos != "darwin" && goos != "ios" {
		return nil
	}
	check := func(path []string) error {
		for _, s := range path {
			if err := checkWindows(s); err != nil {
				return err
			}
		}
		return nil
	}
	if windows {
		if err := checkWindows(t.Name); err != nil {
			return err
		}
		if err := t.checkWrittenWindows(); err != nil {
			return err
		}
		for i := range t.Files {
			if err := check(t.Files[i].Path); err != nil {
				return err
			}
			if err := check(t.Files[i].Symlink); err != nil && t.Files[i].Symlink[0] != "." {
				return err
			}
		}
		for _, dir := range t.EmptyDirs {
			if err := check(dir); err != nil {
				return err
			}
		}
	}
	folder := cases.Fold()
	return checkTree(t.Files, t.EmptyDirs, func(s string) string { return nfc(folder.String(nfc(s))) })
}

// checkWindows refuses what Windows reads as something else than a file's name.
func checkWindows(s string) error {
	if last := s[len(s)-1]; last == '.' || last == ' ' {
		return fmt.Errorf("%w on Windows: %q ends with a dot or a space", ErrUnsafePath, s)
	}
	for i := range len(s) {
		if s[i] < ' ' || strings.IndexByte(`<>:"|?*`, s[i]) >= 0 {
			return fmt.Errorf("%w on Windows: %q contains %q", ErrUnsafePath, s, s[i])
		}
	}
	base, _, _ := strings.Cut(strings.ToUpper(s), ".")
	base = strings.TrimRight(base, " ")
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return fmt.Errorf("%w on Windows: %q is a device", ErrUnsafePath, s)
	}
	if port, ok := strings.CutPrefix(base, "COM"); ok || strings.HasPrefix(base, "LPT") {
		if !ok {
			port = base[3:]
		}
		if slices.Contains([]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"}, port) {
			return fmt.Errorf("%w on Windows: %q is a device", ErrUnsafePath, s)
		}
	}
	return nil
}
