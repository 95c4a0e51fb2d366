package manifest

import (
	"errors"
	"fmt"
	"maps"
)

// MaxAttached is how many files a post can have attached.
const MaxAttached = 64

// Named is the torrent that an entry names, and so vouches for.
type Named struct {
	InfoSum    [32]byte // SHA-256 of the info dict, which is the v2 infohash where there is one
	InfoHashV1 [20]byte
	HasV1      bool
	Name       string // of the file or directory
	Size       int64  // bytes, without pads
}

// InfoHash returns what names the torrent on the wire.
func (n Named) InfoHash() [20]byte { return wireHash(n.InfoSum, n.InfoHashV1, n.HasV1) }

// NamedBy returns the torrent that an entry names; ok is false if it names none. Of a sealed
// entry that is the torrent of the ciphertext, which has no name.
func NamedBy(e Entry) (n Named, ok bool) {
	switch e := e.(type) {
	case Media:
		return Named{e.InfoSum, e.InfoHashV1, e.HasV1, e.Name, e.Size}, true
	case Release:
		return Named{e.InfoSum, e.InfoHashV1, e.HasV1, e.Version, e.Size}, true
	case Post:
		if e.Attached != nil {
			return e.Attached.Named, true
		}
	case Sealed:
		return Named{e.InfoSum, e.InfoHashV1, e.HasV1, "", e.Size}, e.HasContent
	}
	return Named{}, false
}

// Attached are the files that a post brings along: the content of one torrent, a file or a
// flat directory of files.
type Attached struct {
	Named                // i, i1, n, s
	Files []AttachedFile // fl: one to MaxAttached; Size is the sum of theirs, of ciphertext more
}

// AttachedFile is one of them.
type AttachedFile struct {
	Name string // n
	Type string // m: media type, "" if it is not known; nothing proves it
	Size int64  // s: bytes

	extra members // keys that are not known
}

// set writes what is attached into the post.
func (a *Attached) set(m members) {
	m.setTorrent(a.InfoSum, a.InfoHashV1, a.HasV1, a.Size)
	m.setString("n", a.Name)
	b := []byte{'l'}
	for _, f := range a.Files {
		in := make(members, len(f.extra)+3)
		maps.Copy(in, f.extra)
		in.setString("n", f.Name)
		if f.Type != "" {
			in.setString("m", f.Type)
		}
		in.setInt("s", f.Size)
		b = append(b, in.encode()...)
	}
	m["fl"] = append(b, 'e')
}

// attached reads what is attached to a post.
func (d *entryDict) attached() *Attached {
	there := false
	for _, key := range []string{"i", "i1", "n", "s", "fl"} {
		_, ok := d.members[key]
		there = there || ok
	}
	if !there {
		return nil
	}
	a := &Attached{}
	a.Name = d.text("n", true)
	a.InfoSum, a.InfoHashV1, a.HasV1, a.Size = d.torrent()
	a.Files = d.attachedFiles()
	if d.err != nil {
		return nil
	}
	if err := checkElement(a.Name); err != nil {
		d.fail("n", "%w", err)
	}
	if err := a.checkFiles(); err != nil {
		d.fail("fl", "%w", err)
	}
	return a
}

func (d *entryDict) attachedFiles() (all []AttachedFile) {
	r := d.reader("fl", true)
	if r == nil {
		return nil
	}
	r.List(func() {
		in := inner(r)
		if in == nil {
			return
		}
		f := AttachedFile{Name: in.text("n", true), Type: in.text("m", false), Size: in.integer("s", true, maxMillis, 0)}
		r.Fail(in.err)
		f.extra = in.rest(Header{}).extra
		all = append(all, f)
	})
	d.end("fl", r)
	return all
}

// checkFiles refuses files that cannot be those of one flat torrent.
func (a *Attached) checkFiles() error {
	if len(a.Files) == 0 || len(a.Files) > MaxAttached {
		return fmt.Errorf("%d files, 1 to %d are allowed", len(a.Files), MaxAttached)
	}
	left := a.Size
	names := make([]File, len(a.Files))
	for i, f := range a.Files {
		if err := checkElement(f.Name); err != nil {
			return err
		}
		names[i].Path = []string{f.Name}
		if left -= f.Size; left < 0 {
			break
		}
	}
	if left < 0 {
		return fmt.Errorf("the sizes of the files add up to more than %d", a.Size)
	}
	return checkTree(names, nil, nfc)
}

// ErrOtherFiles: the torrent has other files than the post says.
var ErrOtherFiles = errors.New("other files than the post says")

// AttachedOf returns a torrent as what is attached to a post. types gives media types by
// name; it may be nil. Errors wrap ErrUnsupported, where the torrent is no file and no flat
// directory of files, and ErrTooLarge, where it has more than MaxAttached.
func AttachedOf(t *Torrent, types func(name string) string) (*Attached, error) {
	a := &Attached{Named: Named{InfoSum: t.InfoSum(), Name: t.Name, Size: t.Length()}}
	a.InfoHashV1, a.HasV1 = t.InfoHashV1()
	for _, f := range t.Files {
		switch {
		case f.Pad:
			continue
		case len(f.Path) != 1 || f.Symlink != nil:
			return nil, fmt.Errorf("attach %q: %w: only files can be attached, no directories", t.Name, ErrUnsupported)
		case len(a.Files) == MaxAttached:
			return nil, fmt.Errorf("attach %q: %w: it has more than %d files", t.Name, ErrTooLarge, MaxAttached)
		}
		file := AttachedFile{Name: f.Path[0], Size: f.Length}
		if types != nil {
			file.Type = types(file.Name)
		}
		a.Files = append(a.Files, file)
	}
	return a, a.checkFiles()
}

// Check compares the files of a torrent with those that the post names: their names and
// sizes. The error wraps ErrOtherFiles.
func (a *Attached) Check(t *Torrent) error {
	is, err := AttachedOf(t, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOtherFiles, err)
	}
	sizes := make(map[string]int64)
	for _, f := range is.Files {
		sizes[f.Name] = f.Size
	}
	for _, f := range a.Files {
		if size, ok := sizes[f.Name]; !ok || size != f.Size || is.Name != a.Name || len(is.Files) != len(a.Files) {
			return fmt.Errorf("torrent %q: %w", t.Name, ErrOtherFiles)
		}
	}
	return nil
}
