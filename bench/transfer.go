package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"handful/bench/rival"
	"handful/signing"
)

// startWithin is how long all clients may take to start and to ask the tracker.
const startWithin = 2 * time.Minute

// A transfer is one client's seed and its leechers in a field, from nothing to complete and gone again.
type transfer struct {
	client  entrant
	field   *field // client 0 is the seed; owned by the transfer, closed by stop
	dir     string // of this transfer alone, removed by stop
	source  string // path of the content
	torrent string
	piece   int64           // that our own seed is told; 0 = its choice
	limits  []line          // the clients' own limits; nil = none
	given   bool            // our own leechers get the metainfo, as the others do, and not a link
	static  bool            // addresses are given at the start where the client can take them
	leave   bool            // leechers end when complete
	env     []string        // added to the environment of our own programs
	siteOf  []int           // number of each client's site, as our own programs are told; nil = they are not
	every   time.Duration   // a leecher comes each time this has passed, the first at once; 0 = all at once
	guests  map[int]entrant // leechers (by client, from 1) of another kind than client
	late    int             // clients, the field's last, that join meanwhile: nobody waits for them

	list    *rival.PeerList
	seed    *rival.Instance
	peers   []*rival.Instance
	start   time.Time   // when everybody knew everybody
	machine machineTime // at start
}

// openSeed starts the seed and waits until it has checked its content.
func (t *transfer) openSeed(ctx context.Context) error {
	within, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not within %s", startWithin))
	defer cancel() // the client lives longer
	listener, err := t.field.listen()
	if err != nil {
		return fmt.Errorf("listen for announces: %w", err)
	}
	if t.list, err = rival.NewArrivals(listener, t.field.clients[0], t.crowd(), t.every); err != nil {
		listener.Close()
		return err
	}
	job := t.job(0)
	job.Dir = filepath.Dir(t.source)
	if t.seed, err = t.client.Seed(ctx, job); err != nil {
		return err
	}
	return t.seed.Ready(within)
}

// release starts the leechers and returns when they are let loose.
func (t *transfer) release(ctx context.Context) error {
	within, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not within %s", startWithin))
	defer cancel()
	if t.every > 0 {
		return t.releaseEach(ctx, within)
	}
	t.machine, t.start = readMachineTime(), time.Now()
	for i := range t.crowd() {
		if err := t.leech(ctx, i+1); err != nil {
			return err
		}
	}
	if t.told() {
		return nil
	}
	started, err := t.list.Start(within)
	if err != nil {
		return errors.Join(err, t.casualty())
	}
	t.machine, t.start = readMachineTime(), started
	return nil
}

// headStart is how long before its arrival a leecher is started, where a tracker lets it in at that moment.
const headStart = 1500 * time.Millisecond

// releaseEach starts one leecher after the other; within bounds the start of the first. It returns when the last is started.
func (t *transfer) releaseEach(ctx, within context.Context) error {
	t.machine, t.start = readMachineTime(), time.Now()
	early := headStart
	for i := range t.crowd() {
		if i > 0 {
			select {
			case <-time.After(time.Until(t.start.Add(time.Duration(i)*t.every - early))):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := t.leech(ctx, i+1); err != nil {
			return err
		}
		switch {
		case i > 0:
		case t.told(): // nothing holds them
			early = 0
		default:
			started, err := t.list.Start(within)
			if err != nil {
				return errors.Join(err, t.casualty())
			}
			t.machine, t.start = readMachineTime(), started
		}
	}
	return nil
}

// crowd are the addresses of the leechers that are there from the start.
func (t *transfer) crowd() []netip.AddrPort { return t.field.clients[1 : len(t.field.clients)-t.late] }

// join starts the next of those that come late, which is told of everybody.
func (t *transfer) join(ctx context.Context) error {
	i := len(t.peers) + 1
	if err := t.list.Admit(t.field.clients[i]); err != nil {
		return err
	}
	return t.leech(ctx, i)
}

// leech starts client i.
func (t *transfer) leech(ctx context.Context, i int) error {
	job, client := t.job(i), t.client
	link, err := t.link()
	if err != nil {
		return err
	}
	job.Link = link
	guest, ok := t.guests[i]
	if ok {
		client, job.Env = guest, nil
	}
	if _, ours := t.seed.Link(); ours != "" && (ok || t.given) { // all in the swarm of what our seed wrote
		job.Torrent, job.Link = ours, ""
		if !t.told() {
			job.Tracker = t.list.URL()
		}
	}
	if err := os.MkdirAll(job.Dir, 0o755); err != nil {
		return fmt.Errorf("make destination: %w", err)
	}
	in, err := client.Leech(ctx, job)
	if err != nil {
		return err
	}
	t.peers = append(t.peers, in)
	return nil
}

// told: the clients were given addresses when they were started, so time runs from there.
func (t *transfer) told() bool {
	can := t.client.Can()
	return can.Peers && (t.static || !can.Trackers)
}

// casualty explains a start that failed by a client that ended.
func (t *transfer) casualty() error {
	for _, in := range t.peers {
		select {
		case <-in.Exited():
			return in.Wait(context.Background())
		default:
		}
	}
	return nil
}

// job of client i.
func (t *transfer) job(i int) rival.Job {
	work := filepath.Join(t.dir, fmt.Sprintf("client%d", i))
	j := rival.Job{
		Torrent: t.torrent, Name: contentName, PieceLength: t.piece, Work: work, Dir: filepath.Join(work, "files"),
		Listen: t.field.clients[i], Namespace: t.field.namespace(i), MachineID: fmt.Sprintf("bench-%d", i),
		Leave: t.leave && i > 0,
	}
	if t.limits != nil {
		j.UpLimit, j.DownLimit = t.limits[i].up/8, t.limits[i].down/8
	}
	if t.client.Name() == "handful" {
		j.Env = t.env
		if t.siteOf != nil {
			j.Env = append(slices.Clone(t.env), fmt.Sprintf("HANDFUL_SITE=site%d", t.siteOf[i]+1))
		}
	}
	if i > 0 && t.told() {
		for k, a := range t.field.clients {
			if k != i && (t.every == 0 || k < i) { // who is not there yet cannot be known
				j.Peers = append(j.Peers, a)
			}
		}
	} else if t.client.Name() != "handful" { // its seed is in the list without asking, its leechers get a link
		j.Tracker = t.list.URL()
	}
	return j
}

// link is what Handful's seed published, with our tracker as the only way to find peers; "" for other clients.
func (t *transfer) link() (string, error) {
	text, _ := t.seed.Link()
	if text == "" {
		return "", nil
	}
	l, err := signing.ParseLink(text)
	if err != nil {
		return "", fmt.Errorf("link printed by seed publish: %w", err)
	}
	l.Trackers, l.Peers, l.WebSeeds = nil, nil, nil
	if !t.told() {
		l.Trackers = []string{t.list.URL()}
	}
	return l.String(), nil
}

// complete waits until all leechers are, at most for limit, and tells how many are.
func (t *transfer) complete(ctx context.Context, limit time.Duration) (int, error) {
	waiting, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	errs := make([]error, len(t.peers))
	var all sync.WaitGroup
	for i, in := range t.peers {
		all.Go(func() { errs[i] = in.Wait(waiting) })
	}
	all.Wait()
	count := 0
	var why error
	for _, err := range errs {
		if err == nil {
			count++
		} else if why == nil { // one of them is enough to read
			why = err
		}
	}
	if why != nil {
		return count, fmt.Errorf("%d of %d complete: %w", count, len(t.peers), why)
	}
	return count, nil
}

// compare every copy with the source.
func (t *transfer) compare() error {
	for i := range t.peers {
		if err := sameContent(t.source, filepath.Join(t.job(i+1).Dir, contentName)); err != nil {
			return err
		}
	}
	return nil
}

// halt ends all clients at once. Some tell their counters only then.
func (t *transfer) halt() {
	var all sync.WaitGroup
	for _, in := range append([]*rival.Instance{t.seed}, t.peers...) {
		if in != nil {
			all.Go(in.Stop)
		}
	}
	all.Wait()
}

// stop ends and removes everything.
func (t *transfer) stop() error {
	t.halt()
	var errs []error
	if t.list != nil {
		errs = append(errs, t.list.Close())
	}
	return errors.Join(append(errs, t.field.Close(), os.RemoveAll(t.dir))...)
}

// firstLine of an explanation, for a table.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
