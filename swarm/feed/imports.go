package feed

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"handful/manifest"
)

// maxRemembered is how many ids of items that left the document are remembered.
const maxRemembered = 10_000

// maxState is how many bytes a State may have when it is read.
const maxState = 16 << 20

// State is what one source is known for: where to ask, what for, and which items
// became posts. It is a value; its owner keeps it, and loses nothing that
// [State.Remember] cannot bring back from the channel's own log.
type State struct {
	// Source names the source as its owner does, whatever address it has now. It is
	// part of the ids of posts whose own id is no URI: "17" of one source is not "17"
	// of another one in the same channel. It never changes.
	Source string `json:"source,omitempty"`
	Validators
	Round int64           `json:"round,omitempty"` // imports so far
	Items map[string]Seen `json:"items,omitempty"` // by id

	said map[string]string // by id, what the newest post in the log says: a wording; not kept
}

// Seen is what is known of an imported item.
type Seen struct {
	Sum   string `json:"sum,omitempty"`   // of its content; "": that is not known
	Round int64  `json:"round,omitempty"` // the import that it was last seen in
}

// EncodeState returns s as JSON.
func EncodeState(s State) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings, numbers, and a time that was read or is bounded
	}
	return b
}

// ParseState reads what EncodeState returned. Anything else is refused.
func ParseState(b []byte) (State, error) {
	var s State
	if len(b) > maxState {
		return s, fmt.Errorf("feed state: %d bytes, more than %d", len(b), maxState)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("feed state: %w", err)
	}
	if !bytes.Equal(EncodeState(s), b) {
		return s, fmt.Errorf("feed state: it is not what was written")
	}
	return s, nil
}

// Remember returns s with the posts that are in the channel's log, in its order. Import
// before that, and a crash between log and state would import twice. What the items of
// posts that s does not know were is not known: they count as unchanged until the next
// change. Of an item that has changed nothing is said that its newest post says already.
func (s State) Remember(posts ...manifest.Post) State {
	s.Items, s.said = maps.Clone(s.Items), maps.Clone(s.said)
	if s.Items == nil {
		s.Items = make(map[string]Seen)
	}
	if s.said == nil {
		s.said = make(map[string]string)
	}
	for _, p := range posts {
		if p.ID == "" {
			continue
		}
		s.said[p.ID] = wording(p)
		if _, known := s.Items[p.ID]; !known {
			s.Items[p.ID] = Seen{Round: s.Round}
		}
	}
	return s
}

// Known returns how many items of the source itself are known: those that stood in it.
func (s State) Known() int {
	n := 0
	for _, it := range s.Items {
		if it.Sum != "" { // else it is of the log, where other sources have theirs as well
			n++
		}
	}
	return n
}

// wording returns a hash of all that a post says but its dates.
func wording(p manifest.Post) string {
	texts := []string{p.Title, p.Body, p.Link, p.Author}
	for _, a := range p.Attachments {
		texts = append(texts, a.URL, a.Type, a.Name)
	}
	return hashID(append(texts, p.Tags...)...)
}

// Change is a post to append.
type Change struct {
	Post    manifest.Post
	Changed bool // a newer version of one that is there
}

// PlanOptions is how items are imported.
type PlanOptions struct {
	PostOptions
	Newest int // of the first import, at most that many items become posts, the newest; 0: all
}

// Plan compares a document's items with what was imported before and returns the posts
// to append, oldest first, and the state after that. Nothing is appended for an item
// of which title, text, link, author, tags and attachments are what they were, or whose
// newest post says the same ([State.Remember]); dates do not count. Items that are no longer in the document stay as they are. Append
// the posts first and keep the state then: see [State.Remember].
func Plan(items []Item, before State, o PlanOptions) ([]Change, State) {
	after := before
	after.Items = maps.Clone(before.Items)
	if after.Items == nil {
		after.Items = make(map[string]Seen)
	}
	after.Round++
	first := before.Round == 0 // the log may have posts of other sources
	items = oldestFirst(unique(items))
	for i := range items {
		if before.Source != "" && !absolute.MatchString(items[i].ID) {
			items[i].ID = hashID("of", before.Source, items[i].ID)
		}
	}
	var out []Change
	for i, it := range items {
		sum := contentSum(it)
		old, known := after.Items[it.ID]
		after.Items[it.ID] = Seen{Sum: sum, Round: after.Round}
		changed := known && old.Sum != "" && old.Sum != sum
		if known && !changed || first && o.Newest > 0 && i < len(items)-o.Newest {
			continue
		}
		p := Post(it, o.PostOptions)
		if said, ok := before.said[it.ID]; ok && said == wording(p) {
			continue // by an import that was interrupted; or only markup has changed
		}
		if changed && p.Updated == 0 {
			p.Updated = millis(sane(o.Time))
		}
		out = append(out, Change{Post: p, Changed: changed})
	}
	forget(after.Items, after.Round)
	return out, after
}

// oldestFirst sorts items by when they were published. Where one does not say, the
// document is taken to have the newest first.
func oldestFirst(items []Item) []Item {
	items = slices.Clone(items)
	slices.Reverse(items)
	if !slices.ContainsFunc(items, func(it Item) bool { return it.Published.IsZero() }) {
		slices.SortStableFunc(items, func(a, b Item) int { return a.Published.Compare(b.Published) })
	}
	return items
}

// contentSum returns a hash of what makes a new version of an item. It is of the
// source, not of the post, so that another Size, or a newer way to make text of HTML,
// is no reason to say everything again.
func contentSum(it Item) string {
	texts := []string{it.Title, it.Link, it.Author, it.ContentHTML, it.SummaryHTML}
	if it.ContentHTML == "" {
		texts = append(texts, it.Content)
	}
	if it.SummaryHTML == "" {
		texts = append(texts, it.Summary)
	}
	texts = append(texts, it.Tags...)
	for _, a := range it.Attachments {
		texts = append(texts, a.URL)
	}
	sum := sha256.Sum256([]byte(hashID(texts...)))
	return hex.EncodeToString(sum[:8])
}

// forget drops the ids that have been missing for longest.
func forget(items map[string]Seen, round int64) {
	var gone []string
	for id, s := range items {
		if s.Round != round {
			gone = append(gone, id)
		}
	}
	if len(gone) <= maxRemembered {
		return
	}
	slices.SortFunc(gone, func(a, b string) int {
		return cmp.Or(cmp.Compare(items[a].Round, items[b].Round), cmp.Compare(a, b))
	})
	for _, id := range gone[:len(gone)-maxRemembered] {
		delete(items, id)
	}
}
