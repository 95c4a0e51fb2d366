package manifest

import (
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
	ctx   context.Context
	root  string // on disk: what paths in the torrent start from, "" when there are several
	found []found
	empty [][]string
}

// scanTree returns what paths name, ascending by path, and whether it is a single
// file. A path that is a symlink is followed; links below it are kept.
func scanTree(ctx context.Context, paths []string, name string) (string, []found, [][]string, bool, error) {
	if len(paths) == 0 {
		return "", nil, nil, false, errors.New("publish: no path is given")
	}
	s := &scanner{ctx: ctx}
	abs := make([]string, len(paths))
	for i, path := range paths {
		var err error
		if abs[i], err = filepath.Abs(path); err != nil {
			return "", nil, nil, false, fmt.Errorf("publish %q: %w", path, err)
		}
	}
	if len(paths) > 1 {
		return s.several(abs, name)
	}
	if name == "" {
		name = filepath.Base(abs[0])
	}
	name = nfc(name)
	if err := checkElement(name); err != nil {
		return "", nil, nil, false, fmt.Errorf("publish %q: %w; give it a name", abs[0], err)
	}
	info, err := os.Stat(abs[0])
	if err != nil {
		return "", nil, nil, false, fmt.Errorf("publish: %w", err)
	}
	if !info.IsDir() {
		err := s.file(abs[0], []string{name}, info)
		return name, s.found, nil, true, err
	}
	s.root = abs[0]
	if s.root, err = filepath.EvalSymlinks(s.root); err != nil {
		return "", nil, nil, false, fmt.Errorf("publish: %w", err)
	}
	err = s.dir(s.root, nil)
	s.sort()
	return name, s.found, s.empty, false, err
}

// several collects paths as the top level of one tree.
func (s *scanner) several(abs []string, name string) (string, []found, [][]string, bool, error) {
	if name = nfc(name); name == "" {
		name = nfc(filepath.Base(filepath.Dir(abs[0])))
	}
	if err := checkElement(name); err != nil {
		return "", nil, nil, false, fmt.Errorf("publish %d paths: %w; give them a name", len(abs), err)
	}
	top := make(map[string]string)
	for _, path := range abs {
		base := nfc(filepath.Base(path))
		if other, ok := top[base]; ok {
			return "", nil, nil, false, fmt.Errorf("publish: %w: %q and %q have the same name", ErrCollision, other, path)
		}
		top[base] = path
		info, err := os.Stat(path)
		if err != nil {
			return "", nil, nil, false, fmt.Errorf("publish: %w", err)
		}
		if err := s.entry(path, []string{base}, info); err != nil {
			return "", nil, nil, false, err
		}
	}
	s.sort()
	return name, s.found, s.empty, false, nil
}

// sort orders by path, element by element, which is the order of a file tree.
func (s *scanner) sort() {
	slices.SortFunc(s.found, func(a, b found) int { return slices.Compare(a.file.Path, b.file.Path) })
	slices.SortFunc(s.empty, slices.Compare[[]string])
}

// checkNames refuses files whose names became one by NFC, calling them as they
// are on disk. The rest of what can collide is left to checkTree.
func checkNames(found []found) error {
	for i := 1; i < len(found); i++ {
		a, b := &found[i-1], &found[i]
		if slices.Equal(a.file.Path, b.file.Path) {
			return fmt.Errorf("publish: %w: %+q and %+q are spelled the same in NFC; rename one of them", ErrCollision, a.source.Path, b.source.Path)
		}
	}
	return nil
}

// dir collects what is in a directory.
func (s *scanner) dir(disk string, path []string) error {
	if err := s.ctx.Err(); err != nil {
		return fmt.Errorf("publish %q: %w", disk, err)
	}
	entries, err := os.ReadDir(disk)
	if err != nil {
		return fmt.Errorf("publish: %w; make it readable or leave it out", err)
	}
	if len(entries) == 0 && len(path) > 0 {
		s.empty = append(s.empty, path)
		return nil
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
		if err := s.entry(full, append(path[:len(path):len(path)], nfc(e.Name())), info); err != nil {
			return err
		}
	}
	return nil
}

// entry collects what is at disk.
func (s *scanner) entry(disk string, path []string, info fs.FileInfo) error {
	if err := checkPath(path); err != nil {
		return fmt.Errorf("publish %q: %w; rename it or leave it out", disk, err)
	}
	switch {
	case info.IsDir():
		return s.dir(disk, path)
	case info.Mode()&fs.ModeSymlink != 0:
		return s.link(disk, path)
	}
	return s.file(disk, path, info)
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
	target := strings.Split(nfc(filepath.ToSlash(text)), "/")
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
