package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Source is where the bytes of a file are on disk, and how the file looked
// before it was hashed: a file that looks otherwise may have other content.
type Source struct {
	Path    string // absolute; empty for pads and symlinks
	Size    int64  // bytes
	ModTime time.Time
	Inode   uint64 // 0 where the system has none
}

// Same tells whether info, fresh from the disk, is of the file as it was hashed.
func (s Source) Same(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && info.Size() == s.Size && info.ModTime().Equal(s.ModTime) && inode(info) == s.Inode
}

// found is one file or symlink of a tree.
type found struct {
	file   File
	source Source
}

// scanner collects a tree without reading its files.
type scanner struct {
	ctx     context.Context
	name    string // of the tree, as it was asked for or is on disk
	single  bool   // one file
	found   []found
	empty   [][]string
	written []spelling // of what is not called on disk as it is in found and empty
}

// scanTree collects what paths name, ascending by path. A path that is a symlink
// is followed; links below it are kept.
func scanTree(ctx context.Context, paths []string, name string) (*scanner, error) {
	if len(paths) == 0 {
		return nil, errors.New("publish: no path is given")
	}
	abs := make([]string, len(paths))
	for i, path := range paths {
		var err error
		if abs[i], err = filepath.Abs(path); err != nil {
			return nil, fmt.Errorf("publish %q: %w", path, err)
		}
	}
	s := &scanner{ctx: ctx, name: name}
	if len(paths) > 1 {
		return s, s.several(abs)
	}
	return s, s.one(abs[0])
}

// setName checks the name of the tree, which is fallback unless one was given.
func (s *scanner) setName(fallback string) error {
	s.name = cmp.Or(s.name, fallback)
	if len(s.name) > maxElement {
		s.name = nfc(s.name)
	}
	if err := checkElement(nfc(s.name)); err != nil {
		return err
	}
	return checkElement(s.name)
}

// one collects a file, or what is in a directory.
func (s *scanner) one(path string) error {
	if err := s.setName(filepath.Base(path)); err != nil {
		return fmt.Errorf("publish %q: %w; give it a name", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if !info.IsDir() {
		s.single = true
		return s.file(path, []string{nfc(s.name)}, info)
	}
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := s.dir(root, spelling{}); err != nil {
		return err
	}
	s.sort()
	return nil
}

// several collects paths as the top level of one tree.
func (s *scanner) several(abs []string) error {
	if err := s.setName(filepath.Base(filepath.Dir(abs[0]))); err != nil {
		return fmt.Errorf("publish %d paths: %w; give them a name", len(abs), err)
	}
	top := make(map[string]string)
	for _, path := range abs {
		at := spelling{}.below(filepath.Base(path))
		if other, ok := top[at.path[0]]; ok {
			return fmt.Errorf("publish: %w: %q and %q have the same name", ErrCollision, other, path)
		}
		top[at.path[0]] = path
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if err := s.entry(path, at, info); err != nil {
			return err
		}
	}
	s.sort()
	return nil
}

// sort orders by path, element by element, which is the order of a file tree, and
// then settles what links lead to.
func (s *scanner) sort() {
	slices.SortFunc(s.found, func(a, b found) int { return slices.Compare(a.file.Path, b.file.Path) })
	slices.SortFunc(s.empty, slices.Compare[[]string])
	for i := range s.found {
		s.settleTarget(s.found[i].file.Symlink)
	}
}

// settleTarget makes names of a link's target NFC as far as it names something in
// the tree: how that is spelled, the tree says. What lies behind another link, or
// does not exist, nothing else tells how to spell, so it stays as it is.
func (s *scanner) settleTarget(target []string) {
	for i, name := range target {
		target[i] = nfc(name)
		if target[i] != name && !s.has(target[:i+1]) {
			target[i] = name
			return
		}
	}
}

// has tells whether path is something in the tree. It is for trees that are
// sorted.
func (s *scanner) has(path []string) bool {
	i, _ := slices.BinarySearchFunc(s.found, path, func(f found, path []string) int { return slices.Compare(f.file.Path, path) })
	k, _ := slices.BinarySearchFunc(s.empty, path, slices.Compare[[]string])
	return i < len(s.found) && hasPrefix(s.found[i].file.Path, path) || k < len(s.empty) && hasPrefix(s.empty[k], path)
}

// checkNames refuses names in a directory that become one by NFC, calling them as
// they are on disk.
func checkNames(disk string, entries []fs.DirEntry) error {
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return nfc(e.Name()) != e.Name() }) {
		return nil
	}
	seen := make(map[string]string, len(entries))
	for _, e := range entries {
		stored := nfc(e.Name())
		if other, ok := seen[stored]; ok {
			return fmt.Errorf("publish: %w: %+q and %+q are spelled the same in NFC; rename one of them", ErrCollision,
				filepath.Join(disk, other), filepath.Join(disk, e.Name()))
		}
		seen[stored] = e.Name()
	}
	return nil
}

// dir collects what is in a directory.
func (s *scanner) dir(disk string, at spelling) error {
	if err := s.ctx.Err(); err != nil {
		return fmt.Errorf("publish %q: %w", disk, err)
	}
	entries, err := os.ReadDir(disk)
	if err != nil {
		return fmt.Errorf("publish: %w; make it readable or leave it out", err)
	}
	if len(entries) == 0 && len(at.path) > 0 {
		s.empty = append(s.empty, at.path)
		return nil
	}
	if err := checkNames(disk, entries); err != nil {
		return err
	}
	for _, e := range entries {
		full := filepath.Join(disk, e.Name())
		if !utf8.ValidString(e.Name()) {
			return fmt.Errorf("publish %q: %w: its name is not valid UTF-8; rename it or leave it out", full, ErrUnsafePath)
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("publish %q: %w: %w", full, ErrChanged, err)
		}
		if err := s.entry(full, at.below(e.Name()), info); err != nil {
			return err
		}
	}
	return nil
}

// entry collects what is at disk.
func (s *scanner) entry(disk string, at spelling, info fs.FileInfo) error {
	for _, path := range [][]string{at.path, at.written} {
		if err := checkPath(path); err != nil {
			return fmt.Errorf("publish %q: %w; rename it or leave it out", disk, err)
		}
	}
	if at.differs() {
		s.written = append(s.written, at)
	}
	switch {
	case info.IsDir():
		return s.dir(disk, at)
	case info.Mode()&fs.ModeSymlink != 0:
		return s.link(disk, at.path)
	}
	return s.file(disk, at.path, info)
}

// file collects a regular file, and refuses what is none.
func (s *scanner) file(disk string, path []string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("publish %q: %w but a %s; leave it out", disk, ErrUnsupported, kindOf(info.Mode()))
	}
	s.found = append(s.found, found{
		File{Path: path, Length: info.Size(), Exec: info.Mode()&0o100 != 0},
		Source{Path: disk, Size: info.Size(), ModTime: info.ModTime(), Inode: inode(info)},
	})
	return nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeCharDevice != 0:
		return "character device"
	case mode&fs.ModeDevice != 0:
		return "block device"
	}
	return "special file (" + mode.Type().String() + ")"
}

// link collects a symlink, with its target from the root of the tree.
func (s *scanner) link(disk string, path []string) error {
	text, err := os.Readlink(disk)
	if err != nil {
		return fmt.Errorf("publish %q: %w", disk, err)
	}
	refuse := func(why string) error {
		return fmt.Errorf("publish %q: %w: it is a symlink to %q, %s", disk, ErrUnsafePath, text, why)
	}
	if filepath.IsAbs(text) || filepath.VolumeName(text) != "" || strings.HasPrefix(text, "/") {
		return refuse("an absolute path, which is another one on every machine; make it relative or leave it out")
	}
	if !utf8.ValidString(text) {
		return refuse("which is not valid UTF-8; rename it or leave it out")
	}
	target := strings.Split(filepath.ToSlash(text), "/")
	// Going up from behind another link leads where that one points.
	at := filepath.Dir(disk)
	for i, element := range target {
		if element == ".." && i > 0 && target[i-1] != ".." {
			if info, err := os.Lstat(at); err == nil && info.Mode()&fs.ModeSymlink != 0 {
				return refuse("which goes up from behind another symlink; point it at its target directly")
			}
		}
		at = filepath.Join(at, element)
	}
	resolved, ok := resolve(path[:len(path)-1], target)
	if !ok {
		return refuse("which leads out of what is published; leave it out, or publish its target too")
	}
	if err := checkTarget(resolved); err != nil {
		return fmt.Errorf("publish %q: symlink to %q: %w", disk, text, err)
	}
	s.found = append(s.found, found{File{Path: path, Symlink: resolved}, Source{Path: disk}})
	return nil
}
