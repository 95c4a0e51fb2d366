package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/signing/durable"
	"handful/signing/keyfile"
	"handful/swarm/console"
	"handful/swarm/feed"
	"handful/swarm/publish"
)

// What is known of the feeds that are imported is kept in files of their own.
//
//	STATE/feeds/<id>/<SHA-256 of the source>.json     a feed.State
const maxFeedState = 16 << 20 // bytes

func feedPath(stateDir string, channel signing.ID, source string) string {
	sum := sha256.Sum256([]byte(source))
	return filepath.Join(stateDir, "feeds", channel.String(), hex.EncodeToString(sum[:16])+".json")
}

// readFeed reads what is known of a source, an empty state if that is nothing.
func readFeed(path string) (feed.State, error) {
	b, err := durable.ReadFile(durable.OS{}, path, maxFeedState)
	if errors.Is(err, fs.ErrNotExist) {
		return feed.State{}, nil
	}
	if err != nil {
		return feed.State{}, err
	}
	s, err := feed.ParseState(b)
	if err != nil {
		return s, &console.Fault{Code: console.Failed, Message: path + " is damaged", Err: err,
			Hint: "remove it: what was imported is known from the channel's log as well"}
	}
	return s, nil
}

// source is one feed that was imported.
type source struct {
	channel signing.ID
	state   feed.State
}

// Feeds lists what was imported, by channel and source.
func (o *offline) Feeds() ([]source, error) {
	paths, err := filepath.Glob(filepath.Join(globEscape(o.dir), "feeds", "*", "*.json"))
	if err != nil {
		return nil, err
	}
	var out []source
	for _, path := range paths {
		id, err := signing.ParseID(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue // nothing of ours
		}
		s, err := readFeed(path)
		if err != nil {
			return out, err
		}
		out = append(out, source{id, s})
	}
	slices.SortStableFunc(out, func(a, b source) int { return strings.Compare(a.state.Source, b.state.Source) })
	return out, nil
}

// globEscape quotes what package filepath takes for a pattern. On Windows nothing can
// be quoted, and nothing needs to be but brackets.
func globEscape(path string) string {
	if os.PathSeparator == '\\' {
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// Import fetches a feed and posts what is new: posts first, then the state, so that a
// crash in between loses nothing; what the log has is not posted again. It returns when
// the source may be asked again at the earliest.
func (r *running) Import(ctx context.Context, req importRequest, report func(console.Line)) (time.Time, error) {
	_, state, err := r.feedState(req)
	if err != nil {
		return time.Time{}, err
	}
	if state.NotBefore.After(r.app.Env.Now()) {
		return state.NotBefore, fmt.Errorf("import %s: %w", req.Source, &feed.BusyError{Until: state.NotBefore})
	}
	got, err := fetcher(r.app).Fetch(ctx, state.Validators)
	busy := later(err)
	if err != nil && busy.IsZero() {
		return busy, err
	}
	// A server may be slow: what else is to be published did not wait for it. So what is
	// known is read anew.
	r.publishing.Lock()
	defer r.publishing.Unlock()
	known, state, stateErr := r.feedState(req)
	if stateErr != nil {
		return busy, errors.Join(err, stateErr)
	}
	if !busy.IsZero() {
		if state.NotBefore = busy; known.IsZero() {
			return busy, err // there is no channel yet, and nowhere to remember it
		}
		return busy, errors.Join(err, r.writeFeed(known, state))
	}
	state.Validators = got.Validators
	// Only now: a source that cannot be read makes no channel.
	id, fresh, err := r.channel(req.Channel, false)
	if err != nil {
		return busy, err
	}
	line := console.Feed{Source: req.Source, Channel: id.String(), Title: got.Document.Title, Format: got.Document.Format, More: got.Document.More}
	if state.URL != req.Source {
		line.URL = state.URL
	}
	if !got.Unchanged {
		state, err = r.postItems(ctx, id, fresh, req, got.Document.Items, state, func(p console.Posted) {
			if p.Changed {
				line.Changed++
			} else {
				line.New++
			}
			report(p)
		})
		if err != nil {
			return busy, err
		}
	}
	line.Items = state.Known()
	report(line)
	return busy, r.writeFeed(id, state)
}

// feedState returns the channel, zero if there is none yet, and what is known of the
// source in it.
func (r *running) feedState(req importRequest) (id signing.ID, s feed.State, err error) {
	if id, err = findChannel(r.dir, req.Channel); err == nil {
		s, err = readFeed(feedPath(r.dir, id, req.Source))
	} else if errors.Is(err, keyfile.ErrNotFound) {
		id, err = signing.ID{}, nil
	}
	if s.Source = req.Source; s.URL == "" {
		s.URL = req.Source
	}
	return id, s, err
}

// postItems posts what is new or changed and returns the state after that.
func (r *running) postItems(ctx context.Context, id signing.ID, fresh bool, req importRequest, items []feed.Item, s feed.State, report func(console.Posted)) (feed.State, error) {
	p, err := r.publisher(ctx, id, req.Peering, fresh)
	if err != nil {
		return s, err
	}
	if s, err = remember(s, p.Log(), r.sealer(id)); err != nil {
		return s, err
	}
	if r.sealer(id) != nil {
		req.Size = min(cmp.Or(req.Size, maxSealedPost), maxSealedPost)
	}
	changes, after := feed.Plan(items, s, feed.PlanOptions{PostOptions: feed.PostOptions{Time: r.app.Env.Now(), Size: req.Size}, Newest: req.Newest})
	entries := make([][]byte, len(changes))
	for i := range changes {
		if entries[i], err = r.entry(&changes[i].Post); err != nil {
			return s, err
		}
	}
	first, err := p.PublishAll(entries) // under one head: a document has many items at first
	if err != nil {
		return s, err
	}
	for i, c := range changes {
		posted, err := r.posted(p, req.Peering, first+int64(i), c.Post, len(entries[i]))
		if err != nil {
			return s, err
		}
		posted.Changed = c.Changed
		report(posted)
	}
	return after, nil
}

func (r *running) writeFeed(id signing.ID, s feed.State) error {
	path := feedPath(r.dir, id, s.Source)
	if err := (durable.OS{}).MkdirAll(filepath.Dir(path)); err != nil {
		return fmt.Errorf("remember the feed: %w", err)
	}
	return durable.WriteFile(durable.OS{}, path, feed.EncodeState(s))
}

// remember adds to a state the posts in the log: the state may be older, if a crash came
// between the two, or be lost.
func remember(s feed.State, log *publish.Log, in *sealer) (feed.State, error) {
	var posts []manifest.Post
	for i := range log.Size() {
		raw, err := log.Entry(i)
		if err != nil {
			return s, err
		}
		entry, err := in.open(raw)
		if err != nil {
			continue // of a later version
		}
		if p, ok := entry.(manifest.Post); ok && p.ID != "" {
			posts = append(posts, p)
		}
	}
	return s.Remember(posts...), nil
}
