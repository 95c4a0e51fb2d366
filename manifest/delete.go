package manifest

// KindDelete is the kind of a Delete.
const KindDelete = "del"

// Delete asks to drop the bytes of an earlier entry of the same writer. Its hash
// stays in the log.
type Delete struct {
	Head   Header
	Index  int64  // n: of the entry
	Reason string // x
}

// Kind returns KindDelete.
func (e Delete) Kind() string { return KindDelete }

// Header returns e.Head.
func (e Delete) Header() Header { return e.Head }

// Bytes returns the encoding of e.
func (e Delete) Bytes() []byte {
	m := e.Head.members(KindDelete)
	m.setInt("n", e.Index)
	if e.Reason != "" {
		m.setString("x", e.Reason)
	}
	return m.encode()
}

func (d *entryDict) delete(h Header) Delete {
	e := Delete{Index: d.integer("n", true, maxMillis, 0), Reason: d.text("x", false)}
	e.Head = d.rest(h)
	return e
}
