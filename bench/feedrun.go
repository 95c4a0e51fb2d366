package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"handful/bench/rival"
	"handful/manifest"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm"
	"handful/swarm/publish"
)

// feedMeasure is a measurement under way.
type feedMeasure struct {
	feedOptions
	out   report
	tools rival.Tools
	dir   string
}

// feedRun is one origin and its followers.
type feedRun struct {
	*feedMeasure
	dir       string
	node      *swarm.Node
	publisher *publish.Publisher
	link      signing.Link
	board     *board
	followers []*feedFollower
	said      []time.Time // when each entry was, by its index
}

// once runs a case and fills result. Everything that it made is gone when it returns.
func (m *feedMeasure) once(ctx context.Context, result *feedResult) (err error) {
	r := &feedRun{feedMeasure: m, dir: filepath.Join(m.dir, "run"), board: newBoard()}
	defer func() { err = errors.Join(err, r.close(), os.RemoveAll(r.dir)) }()
	if err := r.origin(ctx); err != nil {
		return err
	}
	before, cpu := readMachineTime(), rival.Own().CPU
	switch result.Case {
	case "post":
		err = r.posts(ctx, result, m.feedOptions.posts, m.every, 0)
	case "killed":
		err = r.posts(ctx, result, m.feedOptions.posts, m.every, m.killed)
	case "burst":
		err = r.posts(ctx, result, m.burst, m.within/time.Duration(m.burst), 0)
	case "stranger":
		err = r.stranger(ctx, result)
	case "away":
		err = r.away(ctx, result)
	case "history":
		err = r.history(ctx, result)
	}
	result.Busy = readMachineTime().busySince(before)
	err = errors.Join(err, r.stop())
	result.CPU = (rival.Own().CPU - cpu).Seconds()
	for _, f := range r.followers {
		result.CPU += f.usage.CPU.Seconds()
		result.Anon = max(result.Anon, f.usage.PeakAnon)
		result.Repeated += f.repeated
		result.Disorder += f.disorder
	}
	return err
}

// origin makes a channel and its writer's node.
func (r *feedRun) origin(ctx context.Context) error {
	keys, err := keyfile.Create(filepath.Join(r.dir, "keys"), keyfile.Options{Title: "bench", Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		return err
	}
	if r.node, err = swarm.Start(ctx, swarm.Config{Listen: "127.0.0.1:0", Isolated: true, MachineID: "origin"}); err != nil {
		return err
	}
	r.publisher, err = publish.Open(ctx, publish.Config{Node: r.node, Keys: keys, Dir: filepath.Join(r.dir, "log"), New: true})
	r.link = signing.Link{ID: keys.ID, Index: -1, Peers: []string{r.node.Addrs()[0].String()}}
	return err
}

// entry is a post of about 100 bytes, as long as a headline.
func entry(n int) []byte {
	return manifest.Post{Head: manifest.Header{Time: time.Now().UnixMilli()}, Title: fmt.Sprintf("Post %06d: somebody has said something new", n)}.Bytes()
}

// say publishes the next entry.
func (r *feedRun) say() error {
	r.said = append(r.said, time.Now())
	_, err := r.publisher.Publish(entry(len(r.said)))
	return err
}

// follow starts the followers, and waits until they have all that was said.
// They take the newest first entries; 0: as many as a follower does.
func (r *feedRun) follow(ctx context.Context, n, processes, first int) error {
	for i := range n {
		run := inProcess(r.link, own(i), first)
		if i < processes {
			run = process(r.tools.Fetch, r.link)
		}
		f, err := newFollower(r.board, filepath.Join(r.dir, fmt.Sprintf("follower%d", i)), run)
		if err != nil {
			return err
		}
		r.followers = append(r.followers, f)
		f.start(ctx)
	}
	return r.await(ctx, int64(len(r.said)-1), r.followers...)
}

// await waits until followers have printed an entry.
func (r *feedRun) await(ctx context.Context, index int64, who ...*feedFollower) error {
	for {
		r.board.mu.Lock()
		changed, idle := r.board.changed, time.Since(r.board.last)
		missing := slices.IndexFunc(who, func(f *feedFollower) bool { return !f.has(index) })
		r.board.mu.Unlock()
		if missing < 0 {
			return nil
		}
		if f := who[missing]; closed(f.ended) {
			return fmt.Errorf("follower %s ended: %w", filepath.Base(f.dir), f.err)
		}
		if idle > r.timeout {
			return fmt.Errorf("entry %d has not come to %s, and nothing else for %v", index, filepath.Base(who[missing].dir), idle.Round(time.Second))
		}
		t := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// posts says count posts, and measures when they are where.
func (r *feedRun) posts(ctx context.Context, result *feedResult, count int, every time.Duration, killed int) error {
	if err := r.say(); err != nil {
		return err
	}
	if err := r.follow(ctx, r.n, r.processes, 0); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	result.N, result.Processes, result.Posts = r.n, r.processes, count
	first := int64(len(r.said))
	before, _ := r.publisher.Traffic()
	var absent []*feedFollower // every so many, so that processes are among them
	for i := range killed {
		absent = append(absent, r.followers[i*len(r.followers)/killed])
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range count {
		if i == count/3 {
			for _, f := range absent {
				if err := f.stop(); err != nil {
					return err
				}
			}
		}
		if i == 2*count/3 {
			for _, f := range absent {
				f.start(ctx)
			}
		}
		if err := r.say(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	if err := r.await(ctx, int64(len(r.said)-1), r.followers...); err != nil {
		return err
	}
	after, _ := r.publisher.Traffic()
	u, err := r.publisher.Log().UpdateFor(int64(len(r.said) - 1))
	if err != nil {
		return err
	}
	result.Update, result.Egress = int64(len(u.Bytes())), after-before
	result.Copies = float64(result.Egress) / float64(result.Update) / float64(count)
	r.times(result, first, absent)
	return nil
}

// settle lets the swarm become what it is when nothing happens: connected, and with nothing to repair.
func (r *feedRun) settle(ctx context.Context) error {
	t := time.NewTimer(5 * time.Second)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// times fills in how long entries from first on took. Who was killed meanwhile counts for completeness alone.
func (r *feedRun) times(result *feedResult, first int64, absent []*feedFollower) {
	r.board.mu.Lock()
	defer r.board.mu.Unlock()
	var each, last []float64
	for i := first; i < int64(len(r.said)); i++ {
		slowest := 0.0
		for _, f := range r.followers {
			at, ok := f.printed[i]
			if !ok {
				result.Missed++
				continue
			}
			if slices.Contains(absent, f) {
				continue
			}
			ms := float64(at.Sub(r.said[i]).Microseconds()) / 1000
			each = append(each, ms)
			slowest = max(slowest, ms)
		}
		last = append(last, slowest)
	}
	result.P50, result.P99 = quantile(each, 0.5), quantile(each, 0.99)
	result.LastP50, result.LastP99, result.LastMax = quantile(last, 0.5), quantile(last, 0.99), quantile(last, 1)
}

// quantile of figures: the least of which at least a share of q are not above it; -1 of none.
func quantile(all []float64, q float64) float64 {
	if len(all) == 0 {
		return -1
	}
	slices.Sort(all)
	i := int(q * float64(len(all)))
	if float64(i) == q*float64(len(all)) {
		i--
	}
	return all[min(max(i, 0), len(all)-1)]
}

// long makes a channel with a past, and followers who have its newest.
func (r *feedRun) long(ctx context.Context, sources, first int) error {
	r.out.notef("saying %d posts", r.past)
	log := r.publisher.Log()
	for len(r.said) < r.past-1 {
		if _, err := log.Append(entry(len(r.said) + 1)); err != nil {
			return err
		}
		r.said = append(r.said, time.Now())
	}
	if err := r.say(); err != nil {
		return err
	}
	if err := r.follow(ctx, sources, 0, first); err != nil {
		return err
	}
	return r.settle(ctx)
}

// stranger starts one who has never heard of a channel with a long past.
func (r *feedRun) stranger(ctx context.Context, result *feedResult) error {
	const sources, newest = 3, 50
	if err := r.long(ctx, sources, 0); err != nil {
		return err
	}
	link := r.link
	for _, f := range r.followers {
		link.Peers = append(link.Peers, f.addr)
	}
	f, err := newFollower(r.board, filepath.Join(r.dir, "stranger"), process(r.tools.Fetch, link))
	if err != nil {
		return err
	}
	r.followers = append(r.followers, f)
	began := time.Now()
	f.start(ctx)
	if err := r.await(ctx, int64(len(r.said)-1), f); err != nil {
		return err
	}
	return r.late(ctx, result, f, began, int64(len(r.said)-newest), newest)
}

// history starts one who wants all that was ever said when the writer is gone, and followers
// who have it are left.
func (r *feedRun) history(ctx context.Context, result *feedResult) error {
	const sources = 3
	if err := r.long(ctx, sources, r.past); err != nil {
		return err
	}
	for _, f := range r.followers {
		if !f.hasAll(r.past) {
			return fmt.Errorf("follower %s does not have it all", filepath.Base(f.dir))
		}
	}
	link := r.link
	link.Peers = nil
	for _, f := range r.followers {
		link.Peers = append(link.Peers, f.addr)
	}
	if err := r.leave(); err != nil {
		return err
	}
	f, err := newFollower(r.board, filepath.Join(r.dir, "stranger"), process(r.tools.Fetch, link, "--last", strconv.Itoa(r.past)))
	if err != nil {
		return err
	}
	r.followers = append(r.followers, f)
	began := time.Now()
	f.start(ctx)
	if err := r.await(ctx, int64(len(r.said)-1), f); err != nil {
		return err
	}
	return r.late(ctx, result, f, began, 0, r.past)
}

// late fills in what it took one follower to print the newest entries, from first on.
func (r *feedRun) late(ctx context.Context, result *feedResult, f *feedFollower, began time.Time, first int64, count int) (err error) {
	if result.Received, err = f.received(ctx); err != nil {
		return err
	}
	r.board.mu.Lock()
	defer r.board.mu.Unlock()
	result.N, result.Processes, result.Posts = 1, 1, count
	for i := first; i < first+int64(count); i++ {
		at, ok := f.printed[i]
		if !ok {
			result.Missed++
		}
		result.Seconds = max(result.Seconds, at.Sub(began).Seconds())
	}
	return nil
}

// away starts one again who has missed a thousand entries.
func (r *feedRun) away(ctx context.Context, result *feedResult) error {
	const missed = 1000
	if err := r.long(ctx, 3, 0); err != nil {
		return err
	}
	f, err := newFollower(r.board, filepath.Join(r.dir, "away"), process(r.tools.Fetch, r.link))
	if err != nil {
		return err
	}
	f.start(ctx)
	r.followers = append(r.followers, f)
	if err := r.await(ctx, int64(len(r.said)-1), f); err != nil {
		return err
	}
	if err := f.stop(); err != nil {
		return err
	}
	first := int64(len(r.said))
	for range missed {
		if err := r.say(); err != nil {
			return err
		}
	}
	began := time.Now()
	f.start(ctx)
	if err := r.await(ctx, int64(len(r.said)-1), f); err != nil {
		return err
	}
	return r.late(ctx, result, f, began, first, missed)
}

// stop ends all followers.
func (r *feedRun) stop() (err error) {
	for _, f := range r.followers {
		if f.end != nil {
			f.end()
		}
	}
	for _, f := range r.followers {
		if f.ended != nil {
			<-f.ended
			err = errors.Join(err, f.err)
		}
	}
	return err
}

// leave removes the origin.
func (r *feedRun) leave() (err error) {
	if r.publisher != nil {
		err = errors.Join(err, r.publisher.Close())
	}
	if r.node != nil {
		err = errors.Join(err, r.node.Close())
	}
	r.publisher, r.node = nil, nil
	return err
}

// close removes all.
func (r *feedRun) close() error { return errors.Join(r.stop(), r.leave()) }
