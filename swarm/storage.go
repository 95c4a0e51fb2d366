package swarm

import (
	"context"
	"errors"
	"io"

	g "github.com/anacrolix/generics"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"

	"handful/manifest"
	"handful/swarm/store"
)

// contentStorage shows an item's content to the engine.
type contentStorage struct{ it *Item }

func (s contentStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	if s.it.content == nil {
		return storage.TorrentImpl{}, errors.New("content is not open")
	}
	piece := func(p metainfo.Piece) storage.PieceImpl {
		cp := contentPiece{it: s.it, index: p.Index()}
		if h := p.V1Hash(); h.Ok {
			return selfHashed{contentPiece: cp, sha1: h.Value}
		}
		return cp
	}
	return storage.TorrentImpl{
		Piece: piece,
		PieceWithHash: func(p metainfo.Piece, _ g.Option[[]byte]) storage.PieceImpl {
			return piece(p)
		},
		Close: func() error { return nil }, // the item closes its content
	}, nil
}

// contentPiece is one piece of an item's content.
type contentPiece struct {
	it    *Item
	index int
}

func (p contentPiece) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.it.content.ReadPiece(b, p.index, off)
	if n < len(b) && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (p contentPiece) WriteAt(b []byte, off int64) (int, error) {
	return p.it.content.WritePiece(b, p.index, off)
}

func (p contentPiece) MarkComplete() error {
	first, err := p.it.content.Settle(p.index, true)
	if err != nil {
		p.it.endFetch(err) // the engine would take the piece for complete
		return err
	}
	p.it.came.note(p.index, p.it.blame.farthest(p.index))
	sent := p.it.blame.shares(p.index)
	liars := p.it.blame.passed(p.index)
	p.it.node.mail.post(func() {
		if first {
			p.it.node.pieceDone(p.it, p.index)
			p.it.node.account(p.it, p.index, sent)
		}
		for _, l := range liars {
			p.it.node.liar(l, p.index)
		}
	})
	return nil
}

func (p contentPiece) MarkNotComplete() error {
	refuted, err := p.it.content.Refute(p.index)
	if err == nil && !refuted {
		// The engine sets it incomplete all the same, and is told again after that.
		p.it.node.mail.post(func() { p.it.host.again = append(p.it.host.again, p.index) })
	}
	return err
}

func (p contentPiece) Completion() storage.Completion {
	complete, known := p.it.content.State(p.index)
	return storage.Completion{Ok: known, Complete: complete}
}

// errBadPiece is what the engine hears of a piece that did not verify. It is
// io.EOF because the engine then blames nobody: it would ban the sender's whole
// IP address, and with it everybody behind the same NAT or on loopback. The node
// finds the sender itself, see blame.
var errBadPiece = io.EOF

func (p contentPiece) verify() error {
	v, err := p.it.content.Verify(p.index)
	if errors.Is(err, store.ErrMismatch) {
		p.it.endFetch(err) // nobody lied, and nobody can send anything better
	}
	if err != nil {
		p.it.count.failed.Add(p.it.blame.forget(p.index)) // it is received again
		return err
	}
	if v == manifest.Bad {
		lost, liar := p.it.blame.failed(p.index)
		p.it.count.failed.Add(lost)
		if liar != nil {
			p.it.node.mail.post(func() { p.it.node.liar(liar, p.index) })
		}
		return errBadPiece
	}
	return nil
}

// WriteTo feeds the engine's own check of a v2-only piece.
func (p contentPiece) WriteTo(w io.Writer) (int64, error) {
	if err := p.verify(); err != nil {
		return 0, err
	}
	size := p.it.torrent.PieceSize(p.index)
	return io.CopyN(w, io.NewSectionReader(p, 0, size), size)
}

// selfHashed is a piece with a SHA-1: we check it with SHA-256 and answer with the
// SHA-1 that the engine expects only if that fits.
type selfHashed struct {
	contentPiece
	sha1 metainfo.Hash
}

func (p selfHashed) SelfHash() (metainfo.Hash, error) {
	if err := p.verify(); err != nil {
		return metainfo.Hash{}, err
	}
	return p.sha1, nil
}
