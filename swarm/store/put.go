package store

import (
	"errors"
	"fmt"

	"handful/manifest"
)

// ErrWrong: bytes that were to complete a piece are not those that the torrent names.
var ErrWrong = errors.New("bytes do not verify")

// PutPiece completes a piece with bytes that came by another way than from peers: of a web
// seed, or out of a bundle. data is the whole piece (Torrent.PieceSize bytes); it is
// verified before anything is written, and exactly these bytes are written, with nobody
// else writing to the piece meanwhile. It returns how many payload bytes were taken, 0 if
// the piece was complete already; first tells whether this made it complete, and not
// somebody who verified it at that moment.
//
// The error of bytes that do not verify matches [ErrWrong], or [ErrMismatch] when they fit
// the piece's SHA-1 and not its SHA-256; others are as those of WritePiece.
func (c *Content) PutPiece(piece int, data []byte) (n int64, first bool, err error) {
	if err := c.checkPiece(piece); err != nil {
		return 0, false, err
	}
	if complete, _ := c.State(piece); complete {
		return 0, false, nil
	}
	if int64(len(data)) != c.t.PieceSize(piece) {
		return 0, false, &Error{Kind: ErrWrong, Path: c.t.Name, Detail: fmt.Sprintf("%d bytes for piece %d of %d", len(data), piece, c.t.PieceSize(piece))}
	}
	v := c.t.Check(piece, data)
	if v == manifest.Bad {
		kind := ErrWrong
		if c.t.Contradicts(piece, data) {
			kind = ErrMismatch
		}
		return 0, false, &Error{Kind: kind, Path: c.t.Name, Detail: fmt.Sprintf("piece %d", piece)}
	}
	return c.adopt(piece, func(bool) error {
		if _, err := c.write(data, piece, 0); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pieces.strong.set(piece, v == manifest.Good)
		return nil
	})
}
