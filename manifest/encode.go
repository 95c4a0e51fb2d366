package manifest

import (
	"slices"
	"strconv"

	"handful/manifest/bencode"
)

// appendPath appends a list of names.
func appendPath(b []byte, path []string) []byte {
	b = append(b, 'l')
	for _, s := range path {
		b = bencode.AppendString(b, s)
	}
	return append(b, 'e')
}

// appendPaths appends a key with a list of paths.
func appendPaths(b []byte, key string, paths [][]string) []byte {
	b = append(bencode.AppendString(b, key), 'l')
	for _, path := range paths {
		b = appendPath(b, path)
	}
	return append(b, 'e')
}

// appendAttr appends the attributes of f (BEP 47), if it has any.
func appendAttr(b []byte, f *File) []byte {
	switch {
	case f.Pad:
		return append(b, "4:attr1:p"...)
	case f.Symlink != nil:
		return append(b, "4:attr1:l"...)
	case f.Exec:
		return append(b, "4:attr1:x"...)
	}
	return b
}

// appendFile appends f as an element of the v1 files.
func appendFile(b []byte, f *File) []byte {
	b = appendAttr(append(b, 'd'), f)
	b = bencode.AppendInt(append(b, "6:length"...), f.Length)
	b = appendPath(append(b, "4:path"...), f.Path)
	if f.Symlink != nil {
		b = appendPath(append(b, "12:symlink path"...), f.Symlink)
	}
	return append(b, 'e')
}

// appendTree appends files, which ascend by path, as a v2 file tree.
func appendTree(b []byte, files []File) []byte {
	var dir []string // the directory that is open
	b = append(b, 'd')
	for i := range files {
		f := &files[i]
		if f.Pad {
			continue
		}
		parent := f.Path[:len(f.Path)-1]
		common := 0
		for common < len(dir) && common < len(parent) && dir[common] == parent[common] {
			common++
		}
		for range len(dir) - common {
			b = append(b, 'e')
		}
		for _, s := range parent[common:] {
			b = append(bencode.AppendString(b, s), 'd')
		}
		dir = parent
		b = bencode.AppendString(b, f.Path[len(f.Path)-1])
		b = appendAttr(append(b, "d0:d"...), f)
		b = bencode.AppendInt(append(b, "6:length"...), f.Length)
		if f.Length > 0 {
			b = bencode.AppendString(append(b, "11:pieces root"...), f.PiecesRoot[:])
		}
		if f.Symlink != nil {
			b = appendPath(append(b, "12:symlink path"...), f.Symlink)
		}
		b = append(b, "ee"...)
	}
	for range dir {
		b = append(b, 'e')
	}
	return append(b, 'e')
}

// encodeInfo returns the info dict of t, whose format is told by v1, v2 and
// whether sha256 is nil. Files ascend by path.
func (t *Torrent) encodeInfo() []byte {
	b := []byte{'d'}
	if t.v1 && t.single {
		b = appendAttr(b, &t.Files[0])
	}
	if len(t.EmptyDirs) > 0 {
		b = appendPaths(b, "empty directories", t.EmptyDirs)
	}
	if t.v2 {
		b = appendTree(append(b, "9:file tree"...), t.Files)
	}
	if t.v1 && !t.single {
		b = append(b, "5:filesl"...)
		for i := range t.Files {
			b = appendFile(b, &t.Files[i])
		}
		b = append(b, 'e')
	}
	if t.v1 && t.single {
		b = bencode.AppendInt(append(b, "6:length"...), t.Files[0].Length)
	}
	if t.v2 {
		b = append(b, "12:meta versioni2e"...)
	}
	b = bencode.AppendString(append(b, "4:name"...), t.Name)
	b = bencode.AppendInt(append(b, "12:piece length"...), t.PieceLength)
	if t.v1 {
		b = bencode.AppendString(append(b, "6:pieces"...), t.sha1)
	}
	if t.Private {
		b = append(b, "7:privatei1e"...)
	}
	if len(t.salt) > 0 {
		b = bencode.AppendString(append(b, "4:salt"...), t.salt)
	}
	if t.sha256 != nil {
		b = bencode.AppendString(append(b, "13:sha256 pieces"...), t.sha256)
	}
	return append(t.appendWritten(b), 'e')
}

// withPads returns files with a pad behind each one that does not end on a piece,
// except the last, as hybrids have them, and with every offset set.
func withPads(files []File, pieceLength int64) []File {
	padded := make([]File, 0, 2*len(files))
	var offset int64
	for i, f := range files {
		f.Offset = offset
		padded = append(padded, f)
		offset += f.Length
		if rest := offset % pieceLength; rest != 0 && i < len(files)-1 {
			n := pieceLength - rest
			padded = append(padded, File{Path: []string{".pad", strconv.FormatInt(n, 10)}, Length: n, Offset: offset, Pad: true})
			offset += n
		}
	}
	return slices.Clip(padded)
}
