package manifest

import (
	"fmt"
	"slices"
	"strings"

	"handful/manifest/bencode"
)

// pathReader reads the parts of an info dict that are made of paths. Names of
// directories and the slices of paths are shared, so that a tree of 100 000 files
// costs little more than its names.
type pathReader struct {
	r     *bencode.Reader
	names map[string]string
	slab  []string
}

func newPathReader(r *bencode.Reader) *pathReader {
	return &pathReader{r: r, names: make(map[string]string)}
}

// keep copies path into the slab.
func (p *pathReader) keep(path []string) []string {
	if cap(p.slab)-len(p.slab) < len(path) {
		p.slab = make([]string, 0, max(1024, len(path)))
	}
	n := len(p.slab)
	p.slab = append(p.slab, path...)
	return p.slab[n:len(p.slab):len(p.slab)]
}

// path reads a list of names. They are not checked.
func (p *pathReader) path() []string {
	var elements [maxDepth]string
	path := elements[:0]
	p.r.List(func() {
		if len(path) == maxDepth {
			p.r.Fail(fmt.Errorf("%w: a path of more than %d names", ErrUnsafePath, maxDepth))
			return
		}
		b := p.r.Bytes()
		name, ok := p.names[string(b)]
		if !ok {
			name = string(b)
			p.names[name] = name
		}
		path = append(path, name)
	})
	return p.keep(path)
}

// length reads the length of a file.
func (p *pathReader) length() int64 {
	n := p.r.Int()
	if n < 0 {
		p.r.Fail(fmt.Errorf("%w: length %d", ErrMalformed, n))
	}
	return n
}

// paths reads the value of one of our own keys: a list of paths, which ascends.
func (p *pathReader) paths(key string) [][]string {
	var paths [][]string
	p.r.List(func() {
		path := p.path()
		if p.r.Err() == nil {
			p.r.Fail(checkPath(path))
		}
		if n := len(paths); n > 0 && slices.Compare(paths[n-1], path) >= 0 {
			p.r.Fail(fmt.Errorf("%w: %s out of order at %q", ErrMalformed, key, path))
		}
		paths = append(paths, path)
	})
	return paths
}

// list reads the v1 files.
func (p *pathReader) list() []File {
	var files []File
	p.r.List(func() {
		f := p.listed()
		if p.r.Err() == nil {
			files = append(files, f)
		}
	})
	return files
}

func (p *pathReader) listed() (f File) {
	var attr string
	var path, pathUTF8, target []string
	hasLength := false
	r := p.r
	r.Dict(func(key string) {
		switch key {
		case "attr":
			attr = r.String()
		case "length":
			f.Length, hasLength = p.length(), true
		case "path":
			path = p.path()
		case "path.utf-8":
			pathUTF8 = p.path()
		case "symlink path":
			target = p.path()
		default:
			r.Skip()
		}
	})
	if f.Path = path; pathUTF8 != nil {
		f.Path = pathUTF8
	}
	p.attributes(&f, attr, target)
	if r.Err() == nil && !hasLength && f.Symlink == nil {
		r.Fail(fmt.Errorf("%w: file %q without length", ErrMalformed, f.Path))
	}
	return f
}

// attributes checks the path of f and applies what BEP 47 says of it.
func (p *pathReader) attributes(f *File, attr string, target []string) {
	if p.r.Err() != nil {
		return
	}
	if strings.Contains(attr, "p") {
		// A pad is never written: whatever its path is, it goes no further.
		f.Pad, f.Path = true, nil
		if target != nil {
			p.r.Fail(fmt.Errorf("%w: a pad that is a symlink", ErrMalformed))
		}
		return
	}
	if err := checkPath(f.Path); err != nil {
		p.r.Fail(err)
		return
	}
	if strings.Contains(attr, "l") {
		p.symlink(f, target)
		return
	}
	f.Exec = strings.Contains(attr, "x")
}

// symlink makes f a symbolic link. BEP 47 has targets start at the root; some
// clients write them from the link's directory, which shows when they go up.
func (p *pathReader) symlink(f *File, target []string) {
	if f.Length != 0 {
		p.r.Fail(fmt.Errorf("%w: symlink %q has a length of %d", ErrMalformed, f.Path, f.Length))
		return
	}
	if slices.Contains(target, "..") {
		resolved, ok := resolve(f.Path[:len(f.Path)-1], target)
		if !ok {
			p.r.Fail(fmt.Errorf("%w: symlink %q leads out of the torrent", ErrUnsafePath, f.Path))
			return
		}
		target = resolved
	}
	if err := checkTarget(target); err != nil {
		p.r.Fail(fmt.Errorf("symlink %q: %w", f.Path, err))
		return
	}
	f.Symlink = target
}

// resolve follows target from the directory dir without leaving the root, and
// returns ["."] for the root itself.
func resolve(dir, target []string) ([]string, bool) {
	at := slices.Clone(dir)
	for _, s := range target {
		switch s {
		case ".", "":
		case "..":
			if len(at) == 0 {
				return nil, false
			}
			at = at[:len(at)-1]
		default:
			at = append(at, s)
		}
	}
	if len(at) == 0 {
		return []string{"."}, true
	}
	return at, true
}

// tree reads the v2 file tree in the order of its keys.
func (p *pathReader) tree() []File {
	var files []File
	path := make([]string, 0, maxDepth)
	r := p.r
	var node func()
	node = func() {
		isFile, isDir := false, false
		r.Dict(func(key string) {
			if key == "" {
				if len(path) == 0 {
					r.Fail(fmt.Errorf("%w: the root of the file tree is a file", ErrMalformed))
					return
				}
				isFile = true
				if f, ok := p.leaf(path); ok {
					files = append(files, f)
				}
				return
			}
			if isDir = true; isFile {
				r.Fail(fmt.Errorf("%w: %q is both a file and a directory", ErrCollision, path))
				return
			}
			if len(path) == maxDepth {
				r.Fail(fmt.Errorf("%w: a path of more than %d names", ErrUnsafePath, maxDepth))
				return
			}
			if name, ok := p.names[key]; ok {
				key = name
			} else {
				p.names[key] = key
			}
			path = append(path, key)
			node()
			path = path[:len(path)-1]
		})
		if r.Err() == nil && !isFile && !isDir && len(path) > 0 {
			r.Fail(fmt.Errorf("%w: %q in the file tree is neither file nor directory", ErrMalformed, path))
		}
	}
	node()
	return files
}

// leaf reads the properties of the file at path.
func (p *pathReader) leaf(path []string) (File, bool) {
	f := File{Path: p.keep(path)}
	var attr string
	var target []string
	hasLength, hasRoot := false, false
	r := p.r
	r.Dict(func(key string) {
		switch key {
		case "attr":
			attr = r.String()
		case "length":
			f.Length, hasLength = p.length(), true
		case "pieces root":
			hasRoot = true
			r.Fixed(f.PiecesRoot[:])
		case "symlink path":
			target = p.path()
		default:
			r.Skip()
		}
	})
	if r.Err() == nil && strings.Contains(attr, "p") {
		r.Fail(fmt.Errorf("%w: pad %q in the file tree", ErrMalformed, path))
	}
	p.attributes(&f, attr, target)
	switch {
	case r.Err() != nil:
		return f, false
	case !hasLength && f.Symlink == nil:
		r.Fail(fmt.Errorf("%w: file %q without length", ErrMalformed, path))
	case hasRoot != (f.Length > 0):
		r.Fail(fmt.Errorf("%w: file %q of %d bytes, pieces root: %t", ErrMalformed, path, f.Length, hasRoot))
	}
	return f, r.Err() == nil
}
