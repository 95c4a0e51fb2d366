package rival

import (
	"bytes"
	"fmt"
	"net/url"
	"os"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
)

// Torrent is what the drivers need to know of a .torrent file.
type Torrent struct {
	Name     string
	Files    [][]string // paths below Name; one empty path for a single file
	Length   int64
	Piece    int64 // piece length
	Magnet   string
	InfoHash string // hex, v1
}

// MakeTorrent writes a plain v1 torrent of path, as the other clients make them, to out.
func MakeTorrent(path, out string, pieceLength int64) error {
	info := metainfo.Info{PieceLength: pieceLength}
	if err := info.BuildFromFilePath(path); err != nil {
		return fmt.Errorf("make torrent of %s: %w", path, err)
	}
	raw, err := bencode.Marshal(&info)
	if err != nil {
		return fmt.Errorf("make torrent of %s: %w", path, err)
	}
	var b bytes.Buffer
	m := metainfo.MetaInfo{InfoBytes: raw}
	if err := m.Write(&b); err != nil {
		return fmt.Errorf("make torrent of %s: %w", path, err)
	}
	if err := os.WriteFile(out, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write torrent: %w", err)
	}
	return nil
}

// ReadTorrent reads a .torrent file.
func ReadTorrent(path string) (Torrent, error) {
	m, err := metainfo.LoadFromFile(path)
	if err != nil {
		return Torrent{}, fmt.Errorf("read torrent %s: %w", path, err)
	}
	info, err := m.UnmarshalInfo()
	if err != nil {
		return Torrent{}, fmt.Errorf("read torrent %s: %w", path, err)
	}
	t := Torrent{Name: info.Name, Length: info.TotalLength(), Piece: info.PieceLength}
	for _, f := range info.UpvertedFiles() {
		t.Files = append(t.Files, f.Path)
	}
	hash := m.HashInfoBytes()
	t.InfoHash = hash.HexString()
	t.Magnet = "magnet:?xt=urn:btih:" + t.InfoHash + "&dn=" + url.QueryEscape(info.Name)
	return t, nil
}

// WithTracker returns the metainfo with url as its only tracker. The info dict stays byte for byte what it was.
func WithTracker(metainfoBytes []byte, url string) ([]byte, error) {
	var top map[string]bencode.Bytes
	if err := bencode.Unmarshal(metainfoBytes, &top); err != nil {
		return nil, fmt.Errorf("parse metainfo: %w", err)
	}
	if len(top["info"]) == 0 {
		return nil, fmt.Errorf("parse metainfo: no info dict")
	}
	delete(top, "announce-list")
	announce, err := bencode.Marshal(url)
	if err != nil {
		return nil, err
	}
	top["announce"] = announce
	return bencode.Marshal(top)
}

func escape(s string) string { return url.QueryEscape(s) }
