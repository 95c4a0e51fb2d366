package manifest

// Contradicts tells whether data, the PieceSize(i) bytes of piece i, fit the
// piece's SHA-1 but not the SHA-256 that is known for it. Then no sender is to
// blame: the torrent itself names two different contents, and no peer can mend
// that.
func (t *Torrent) Contradicts(i int, data []byte) bool {
	return t.v1 && t.CanCheck(i) && int64(len(data)) == t.PieceSize(i) && t.checkSHA1(i, data) && t.Check(i, data) == Bad
}
