package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"handful/signing"
	"handful/signing/durable"
)

const (
	monthsFile = "months"
	maxMonths  = 2400 // two centuries
	readChunk  = 256 << 10
)

// monthName is the name of a month.
var monthName = regexp.MustCompile(`^[0-9]{4}-(0[1-9]|1[0-2])$`)

// Archive is one channel's posts on disk, to be read by people and programs: a
// directory with a file of JSON Lines for each month in which posts came, and a list
// of the months.
//
//	DIR/months          2026-03
//	                    2026-04
//	DIR/2026-03.jsonl   {"type":"entry","channel":…,"writer":"m","index":0,…}
//	                    {"type":"entry",…}
//
// Lines are those of Entry.Line, in the order in which they came. A line that is there
// is complete: what a crash leaves behind the last newline is cut off at the next
// open. An entry may be there twice, when the crash came after it was written and
// before somebody else remembered that: writer and index tell, and reading gives it
// once. A line that is not readable is left out and counted.
//
// Its methods may be called by several goroutines. The directory has one Archive at a
// time: its caller's lock.
type Archive struct {
	fs      durable.FS
	dir     string
	channel signing.ID

	mu       sync.Mutex
	months   []string // ascending; guarded by mu, as all below
	size     int64    // of the last month's complete lines
	position Cursor
	gone     map[key]bool // what is withdrawn by an entry that is archived
	damaged  int
	marks    []mark // ascending; where a reader who has all before may begin
}

// OpenArchive opens the archive of a channel in dir, and makes it if it is not there.
func OpenArchive(files durable.FS, dir string, channel signing.ID) (*Archive, error) {
	a := &Archive{fs: files, dir: dir, channel: channel, gone: make(map[key]bool)}
	if err := files.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open archive %s: %w", dir, err)
	}
	b, err := durable.ReadFile(files, filepath.Join(dir, monthsFile), maxMonths*8)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	if a.months, err = parseMonths(b); err != nil {
		return nil, fmt.Errorf("open archive %s: %w", dir, err)
	}
	for _, m := range a.months {
		size, err := a.scan(m, a.note)
		if err != nil {
			return nil, fmt.Errorf("open archive: %w", err)
		}
		a.size = size
	}
	return a, nil
}

// parseMonths reads the list of months.
func parseMonths(b []byte) ([]string, error) {
	if len(b) == 0 {
		return nil, nil
	}
	text, complete := strings.CutSuffix(string(b), "\n")
	months := strings.Split(text, "\n")
	if !complete || len(months) > maxMonths {
		return nil, fmt.Errorf("the list of months is not complete, or has more than %d", maxMonths)
	}
	for i, m := range months {
		if !monthName.MatchString(m) || i > 0 && months[i-1] >= m {
			return nil, fmt.Errorf("the list of months has %.20q in line %d", m, i+1)
		}
	}
	return months, nil
}

func (a *Archive) path(month string) string { return filepath.Join(a.dir, month+".jsonl") }

// note takes an entry into the position, and what it withdraws.
func (a *Archive) note(e Entry) {
	a.position = a.position.With(e)
	if e.Withdrawn() {
		a.gone[key{e.Writer, e.Withdraws}] = true
	}
}

// Append adds entries that came at now. When it returns without error they survive a
// crash; after an error some of them may be there, and adding them again does no harm.
func (a *Archive) Append(now time.Time, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	var b bytes.Buffer
	for _, e := range entries {
		if e.Channel != a.channel {
			return fmt.Errorf("archive %s: %s is of another channel", a.dir, e.URI())
		}
		line := e.Line()
		if _, err := ParseLine(line); err != nil { // it would not be read again
			return fmt.Errorf("archive %s: %w", e.URI(), err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	month := now.UTC().Format("2006-01")
	// A clock that was set back adds to the newest month: nothing is written before
	// what is there.
	if n := len(a.months); n == 0 || month > a.months[n-1] {
		if err := a.begin(month); err != nil {
			return fmt.Errorf("archive: %w", err)
		}
	}
	path := a.path(a.months[len(a.months)-1])
	if err := a.write(path, b.Bytes()); err != nil {
		return fmt.Errorf("archive in %s: %w", path, err)
	}
	a.size += int64(b.Len())
	for _, e := range entries {
		a.note(e)
	}
	return nil
}

// begin adds a month: its file first, then the list that names it.
func (a *Archive) begin(month string) error {
	if !monthName.MatchString(month) || len(a.months) == maxMonths {
		return fmt.Errorf("the clock says %.20q", month)
	}
	if err := durable.WriteFile(a.fs, a.path(month), nil); err != nil {
		return err
	}
	months := append(slices.Clone(a.months), month)
	if err := a.list(months); err != nil {
		return err
	}
	a.months, a.size = months, 0
	return nil
}

func (a *Archive) list(months []string) error {
	var b strings.Builder
	for _, m := range months {
		b.WriteString(m + "\n")
	}
	return durable.WriteFile(a.fs, filepath.Join(a.dir, monthsFile), []byte(b.String()))
}

// write puts b behind the complete lines, over what an attempt that failed has left.
func (a *Archive) write(path string, b []byte) (err error) {
	f, err := a.fs.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if err := f.Truncate(a.size); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, a.size); err != nil {
		return err
	}
	return f.Sync()
}

// scan calls each with every entry of a month and returns where its complete lines end.
func (a *Archive) scan(month string, each func(Entry)) (int64, error) {
	f, err := a.fs.Open(a.path(month))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", a.path(month), err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", a.path(month), err)
	}
	end, damaged, err := readLines(io.NewSectionReader(f, 0, size), func(e Entry, _ int64) bool {
		if e.Channel == a.channel {
			each(e)
		}
		return true
	})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", a.path(month), err)
	}
	a.damaged += damaged
	return end, nil
}

// readLines reads JSON Lines until each, which is told where an entry's line ends, has
// enough. It returns where the last complete line that was read ends and how many lines could
// not be read.
func readLines(r io.Reader, each func(e Entry, end int64) bool) (end int64, damaged int, err error) {
	var line []byte // what was read of the current line, at most maxLine+1
	var length int64
	chunk := make([]byte, readChunk)
	for {
		n, err := r.Read(chunk)
		for rest := chunk[:n]; len(rest) > 0; {
			part, after, complete := bytes.Cut(rest, []byte("\n"))
			rest = after
			length += int64(len(part))
			line = append(line, part[:min(len(part), maxLine+1-len(line))]...)
			if !complete {
				break
			}
			e, err := ParseLine(line)
			end += length + 1
			line, length = line[:0], 0
			if err != nil {
				damaged++
			} else if !each(e, end) {
				return end, damaged, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return end, damaged, nil
		}
		if err != nil {
			return end, damaged, err
		}
	}
}

// Position returns the cursor that has all that is archived.
func (a *Archive) Position() Cursor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.position)
}

// Damaged returns how many lines could not be read since the archive was opened; a
// line that was read several times counts as often.
func (a *Archive) Damaged() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.damaged
}

// key is what an entry of one channel is known by.
type key struct {
	writer string
	index  int64
}

// Since returns at most n entries that a cursor does not have, each once, of each
// writer the lowest indices. It reads from the last mark on before which the cursor has
// everything, until it has enough: so who reads all of a long archive reads it once.
func (a *Archive) Since(from Cursor, n int) ([]Entry, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n <= 0 {
		return nil, nil
	}
	byWriter := make(map[string][]Entry)
	seen := make(map[key]bool)
	err := a.walk(from, func(e Entry) bool {
		if k := (key{e.Writer, e.Index}); !from.Has(e) && !seen[k] {
			seen[k] = true
			byWriter[e.Writer] = append(byWriter[e.Writer], e)
		}
		return len(seen) < n
	})
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, writer := range slices.Sorted(maps.Keys(byWriter)) {
		l := lowest(byWriter[writer], n)
		out = append(out, l[:min(len(l), n-len(out))]...)
	}
	return out, nil
}

// lowest returns the n entries of one writer with the lowest indices, each once.
func lowest(entries []Entry, n int) []Entry {
	slices.SortStableFunc(entries, func(a, b Entry) int { return int(min(max(a.Index-b.Index, -1), 1)) })
	entries = slices.CompactFunc(entries, func(a, b Entry) bool { return a.Index == b.Index })
	return entries[:min(len(entries), n)]
}
