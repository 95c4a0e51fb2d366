package feed

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"handful/signing"
)

// Cursor says which entries of a channel somebody has: of each writer those below an
// index. Nil is none.
type Cursor map[string]int64

// maxWriters bounds a cursor that comes from elsewhere.
const maxWriters = 256

// Has reports whether an entry is below the cursor.
func (c Cursor) Has(e Entry) bool { return e.Index < c[e.Writer] }

// With returns a cursor that has e, too, and what comes before it.
func (c Cursor) With(e Entry) Cursor {
	if c.Has(e) {
		return c
	}
	c = maps.Clone(c)
	if c == nil {
		c = make(Cursor, 1)
	}
	c[e.Writer] = e.Index + 1
	return c
}

// String returns the cursor as "WRITER:INDEX …", writers ascending; the index is of
// the first entry that is not there.
func (c Cursor) String() string {
	var b strings.Builder
	for _, writer := range slices.Sorted(maps.Keys(c)) {
		if c[writer] == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(writer + ":" + strconv.FormatInt(c[writer], 10))
	}
	return b.String()
}

// ParseCursor reads what Cursor.String returns, and nothing else.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return nil, nil
	}
	c := make(Cursor)
	for part := range strings.SplitSeq(s, " ") {
		writer, number, _ := strings.Cut(part, ":")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 1 || n > maxNumber || !signing.ValidWriter(writer) || len(c) == maxWriters {
			return nil, fmt.Errorf("malformed cursor: %.60q", part)
		}
		c[writer] = n
	}
	if c.String() != s {
		return nil, fmt.Errorf("malformed cursor: %.60q is not in order", s)
	}
	return c, nil
}
