package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"handful/signing"
	"handful/signing/durable"
	"handful/swarm/console"
	"handful/swarm/feed"
	"handful/swarm/follow"
)

// What is followed is kept in a directory for each channel.
//
//	STATE/feeds/<id>/channel.json   a subscription
//	STATE/feeds/<id>/archive/…      what was said, see feed.Archive
//	STATE/feeds/<id>/cursors/…      who has seen how much of it
const subscriptionFile = "channel.json"

// maxSubscription is how many bytes a subscription may have.
const maxSubscription = 128 << 10

// subscription is what is remembered of a channel that is followed.
type subscription struct {
	Name  string        `json:"name"` // here: [a-z0-9][a-z0-9._-]{0,63}
	Title string        `json:"title,omitempty"`
	Link  string        `json:"link"`
	Count int           `json:"keep_count,omitempty"`
	Age   time.Duration `json:"keep_age,omitempty"` // nanoseconds
	Bytes int64         `json:"keep_bytes,omitempty"`
	Pin   []string      `json:"pin,omitempty"`
}

func (s subscription) keep() feed.Keep {
	return feed.Keep{Count: s.Count, Age: s.Age, Bytes: s.Bytes}
}

// followed is a channel that is followed right now.
type followed struct {
	info     subscription
	follower *follow.Follower
	inbox    *follow.Inbox
	stop     context.CancelFunc
	ended    chan struct{} // closed when err is set
	err      error
}

func feedsDir(stateDir string) string { return filepath.Join(stateDir, "feeds") }

func feedDir(stateDir string, id signing.ID) string {
	return filepath.Join(feedsDir(stateDir), id.String())
}

// readSubscription reads what is remembered of a channel; fs.ErrNotExist when that is
// nothing.
func readSubscription(stateDir string, id signing.ID) (s subscription, err error) {
	path := filepath.Join(feedDir(stateDir, id), subscriptionFile)
	b, err := durable.ReadFile(durable.OS{}, path, maxSubscription)
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(b, &s)
	if err == nil && !validName.MatchString(s.Name) {
		err = fmt.Errorf("it has the name %.80q", s.Name)
	}
	if err != nil {
		return s, &console.Fault{Code: console.Failed, Message: path + " is damaged", Hint: "remove it and follow the channel's link again; what was said stays", Err: err}
	}
	return s, nil
}

func writeSubscription(stateDir string, id signing.ID, s subscription) error {
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	dir := feedDir(stateDir, id)
	if err := (durable.OS{}).MkdirAll(dir); err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, filepath.Join(dir, subscriptionFile), append(b, '\n'))
}

// subscriptions returns all channels that are followed, by their ids.
func subscriptions(stateDir string) (ids []signing.ID, all map[signing.ID]subscription, err error) {
	entries, err := os.ReadDir(feedsDir(stateDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	all = make(map[signing.ID]subscription)
	var damaged error
	for _, e := range entries {
		id, err := signing.ParseID(e.Name())
		if err != nil {
			continue // nothing of ours
		}
		s, err := readSubscription(stateDir, id)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			damaged = errors.Join(damaged, err)
		default:
			ids = append(ids, id)
			all[id] = s
		}
	}
	return ids, all, damaged
}

var (
	validName   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	unnameable  = regexp.MustCompile(`[^a-z0-9._]+`)
	leadingDots = regexp.MustCompile(`^[^a-z0-9]+`)
)

// nameFor makes a name for a channel out of what it is called, one that no other has.
func nameFor(called string, id signing.ID, all map[signing.ID]subscription) string {
	name := unnameable.ReplaceAllString(strings.ToLower(called), "-")
	name = strings.TrimRight(leadingDots.ReplaceAllString(name, ""), "-")
	name = cmp.Or(name[:min(len(name), 40)], id.String()[:12])
	taken := func(n string) bool {
		for other, s := range all {
			if other != id && s.Name == n {
				return true
			}
		}
		return false
	}
	unique := name
	for i := 2; taken(unique); i++ {
		unique = fmt.Sprintf("%s-%d", name, i)
	}
	return unique
}

// subscribe begins to follow a channel, or takes over new wishes about one that is followed.
func (r *running) subscribe(ctx context.Context, link signing.Link, want wishes) (*followed, error) {
	r.subscribing.Lock()
	defer r.subscribing.Unlock()
	id := link.ID
	_, all, err := subscriptions(r.dir)
	if err != nil {
		r.app.Out().Print(console.Warning{Message: err.Error()})
	}
	info, known := all[id]
	before := info
	info.Link = link.String()
	if want.Name != "" {
		info.Name = want.Name
	}
	if !known && want.Name == "" {
		info.Name = nameFor(link.Name, id, all)
	}
	info.Title = cmp.Or(link.Name, info.Title)
	for other, s := range all {
		if other != id && s.Name == info.Name {
			return nil, console.Usagef("give it another with --name", "%q is already the name of channel %s", info.Name, other)
		}
	}
	want.apply(&info)
	if !known || !equal(before, info) {
		if err := writeSubscription(r.dir, id, info); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	c := r.channels[id]
	r.mu.Unlock()
	if c == nil || c.over() {
		return r.tune(ctx, link, info, want)
	}
	r.mu.Lock()
	c.info = info
	r.mu.Unlock()
	if before.keep() != info.keep() || !slices.Equal(before.Pin, info.Pin) {
		return c, c.inbox.SetKeep(info.keep(), info.Pin)
	}
	return c, nil
}

func equal(a, b subscription) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}

// over reports whether nothing comes in any more.
func (c *followed) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// title is what the channel calls itself, else what its link does, else its name here.
func (c *followed) title() string {
	own := ""
	if root := c.follower.Trust().Root(); root != nil {
		own = root.Title()
	}
	return cmp.Or(own, c.info.Title, c.info.Name)
}

// tune opens what is kept of a channel and reads on. The caller holds subscribing.
func (r *running) tune(ctx context.Context, link signing.Link, info subscription, want wishes) (*followed, error) {
	peers, err := console.Resolve(ctx, append(slices.Clone(want.Peers), link.Peers...), r.app.Node.LANOnly)
	if err != nil {
		r.app.Out().Print(console.Warning{Message: err.Error()})
	}
	f, err := r.follower(link, peers, append(slices.Clone(link.Trackers), want.Trackers...))
	if err != nil {
		return nil, err
	}
	inbox, err := follow.OpenInbox(follow.InboxConfig{
		Channel: link.ID, Dir: feedDir(r.dir, link.ID), First: max(follow.FirstEntries, want.Last),
		Keep: info.keep(), Pin: info.Pin, Logger: r.app.Log(), Now: r.app.Env.Now,
	})
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &followed{info: info, follower: f, inbox: inbox, stop: stop, ended: make(chan struct{})}
	r.mu.Lock()
	r.channels[link.ID] = c
	r.mu.Unlock()
	go func() {
		defer close(c.ended)
		if c.err = inbox.Run(run, f); run.Err() == nil {
			r.app.Log().Error("a channel is followed no more", "channel", link.ID, "err", c.err)
		}
	}()
	return c, nil
}

// silence ends the reading of all channels.
func (r *running) silence() {
	r.mu.Lock()
	channels := r.channels
	r.channels = make(map[signing.ID]*followed)
	r.mu.Unlock()
	for _, c := range channels {
		c.stop()
		<-c.ended
	}
}

// Unfollow ends a subscription. What was said stays in the archive.
func (o *offline) Unfollow(_ context.Context, word string) (line console.Followed, err error) {
	id, info, err := findSubscription(o.dir, word)
	if err != nil {
		return line, err
	}
	line = console.Followed{Channel: id.String(), Name: info.Name, Link: info.Link, Dropped: true}
	return line, os.Remove(filepath.Join(feedDir(o.dir, id), subscriptionFile))
}

// findSubscription returns the channel that a link, an id or a name means.
func findSubscription(stateDir, word string) (id signing.ID, info subscription, err error) {
	ids, all, err := subscriptions(stateDir)
	if err != nil {
		return id, info, err
	}
	l, _ := signing.ParseLink(word) // or it is no link
	i := slices.IndexFunc(ids, func(id signing.ID) bool { return l.ID == id || id.String() == word || all[id].Name == word })
	if i < 0 {
		return id, info, &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("%q is not followed", word), Hint: "name it by its link, its id or the name that it has here"}
	}
	return ids[i], all[ids[i]], nil
}

// Unfollow ends a subscription, and the reading of it.
func (r *running) Unfollow(ctx context.Context, word string) (console.Followed, error) {
	r.subscribing.Lock()
	defer r.subscribing.Unlock()
	id, _, err := findSubscription(r.dir, word)
	if err != nil {
		return console.Followed{}, err
	}
	r.mu.Lock()
	c := r.channels[id]
	delete(r.channels, id)
	r.mu.Unlock()
	if c != nil {
		c.stop()
		<-c.ended
	}
	return r.offline.Unfollow(ctx, word)
}
