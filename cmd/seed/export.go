package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"handful/manifest"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/bundle"
	"handful/swarm/console"
	"handful/swarm/mirror"
	"handful/swarm/publish"
	"handful/swarm/store"
)

// exportRequest is what is to be put where.
type exportRequest struct {
	Channel string // the name that -c gives
	HTTP    string // absolute directory of a mirror; "" = none
	Bundle  string // absolute path of a bundle; "" = none
	URL     string // where the mirror will be; "" = not known
	NoFiles bool   // news and torrents only
	Force   bool   // an existing bundle is replaced
	DryRun  bool
	Since   since
}

func exportCommand(a *console.App) *cobra.Command {
	var r exportRequest
	var dir, file, from string
	cmd := &cobra.Command{
		Use:   "export --http DIR|--bundle FILE",
		Short: "Put a channel on a web server, or into a file",
		Long: `Export puts a channel where no node runs.

--http DIR makes a mirror: plain files that any web server can serve. Whoever has a
link with ws=URL, or names the URL with --webseed, gets news and files from there
when no peer has them. Run it again after publishing: only what is new is written.

--bundle FILE makes one file for a stick, with news and files. On the other side
"fetch bundle FILE" takes it in; with --since it has only the entries from an index,
a date (2026-01-31) or an age (7d) on, and their files.

What other writers published is taken from what "fetch" has with the same state
directory; whose files are not there is said, and their news go along all the same.

Both are believed nothing: they are verified like what peers say.

Exit status: 0, 1, 3 (files of some entries are not what was published any more; the
rest was written), 10 (no such channel, or nothing was published), 11, 14, 130 and 143.`,
		Example: "  seed export --http /var/www/handful --url https://example.org/handful\n  seed export --bundle /media/stick/news.bundle --since 7d",
		Args:    a.Args(0, 0, ""),
	}
	f := cmd.Flags()
	f.StringVarP(&r.Channel, "channel", "c", defaultChannel, "channel to export: its name, or its id")
	f.StringVar(&dir, "http", "", "directory of a mirror for a web server")
	f.StringVar(&file, "bundle", "", "file to write")
	f.StringVar(&r.URL, "url", "", "where the mirror will be found; goes into its torrents and the link")
	f.BoolVar(&r.NoFiles, "no-files", false, "news and torrents, and no files")
	f.BoolVar(&r.Force, "force", false, "replace a bundle that is there")
	f.StringVar(&from, "since", "", "of a bundle: the first index, date or age of entries and files to have")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := r.complete(a, dir, file, from); err != nil {
			return err
		}
		return console.WithState(cmd.Context(), a, openOffline, func(ctx context.Context, l lister) error {
			line, err := l.Export(ctx, r, a.Out().Print)
			if line != nil {
				a.Out().Print(line)
			}
			return err
		})
	}
	return cmd
}

// complete checks what was given and fills the request.
func (r *exportRequest) complete(a *console.App, dir, file, from string) (err error) {
	if err := checkChannelName(r.Channel); err != nil {
		return err
	}
	switch {
	case (dir == "") == (file == ""):
		return console.Usagef("see `seed help export`", "seed export needs either --http DIR or --bundle FILE")
	case dir == "" && r.URL != "":
		return console.Usagef("leave out --url", "a bundle has no URL")
	case file == "" && from != "":
		return console.Usagef("leave out --since", "a mirror has the whole channel")
	}
	if r.URL != "" {
		if r.URL, err = mirror.ParseBase(r.URL); err != nil {
			return console.Usagef("give the URL of the directory, without user, query and fragment", "--url: %v", err)
		}
	}
	if r.Since, err = parseSince(from, a.Env.Now()); err != nil {
		return err
	}
	if dir != "" {
		r.HTTP = a.Env.Path(dir)
	} else {
		r.Bundle = a.Env.Path(file)
	}
	r.DryRun = a.Common.DryRun
	return nil
}

// since is where to begin with a log: with an index, or with what was written at a time.
type since struct {
	index int64
	time  time.Time
}

func parseSince(s string, now time.Time) (since, error) {
	if s == "" {
		return since{}, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return since{index: n}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return since{time: t}, nil
		}
	}
	var d time.Duration
	if err := console.SpanFlag(&d).Set(s); err == nil && d > 0 {
		return since{time: now.Add(-d)}, nil
	}
	return since{}, console.Usagef("an index (12), a date (2026-01-31) or an age (7d) is", "--since: %q says no beginning", s)
}

// entries are those of a log.
type entries interface {
	Entry(index int64) ([]byte, error)
}

// in returns the index that is meant in a log.
func (s since) in(log entries, size int64) int64 {
	if s.time.IsZero() {
		return min(s.index, size)
	}
	for at := size; at > 0; at-- {
		raw, err := log.Entry(at - 1)
		if err != nil {
			return at
		}
		if e, err := manifest.ParseEntry(raw); err == nil && time.UnixMilli(e.Header().Time).Before(s.time) {
			return at
		}
	}
	return 0
}

// content is the bytes of what was published.
type content interface {
	ReadPiece(p []byte, piece int, off int64) (int, error)
	Close() error
}

// Export reads the state while no node runs.
func (o *offline) Export(ctx context.Context, req exportRequest, report func(console.Line)) (console.Line, error) {
	id, err := findChannel(o.dir, req.Channel)
	if err != nil {
		return nil, err
	}
	keys, err := keyfile.Open(keysDir(o.dir), id)
	if err != nil {
		return nil, err
	}
	dir := logDir(o.dir, id, signing.MainWriter)
	if _, err := os.Stat(filepath.Join(dir, "entries")); errors.Is(err, fs.ErrNotExist) {
		return nil, nothingPublished(req.Channel)
	}
	if keys.Online == nil {
		return nil, &console.Fault{Code: console.Failed, Message: fmt.Sprintf("export channel %q: the key of its log is not on this machine", req.Channel),
			Hint: "export where it is published"}
	}
	log, err := publish.OpenLog(dir, publish.LogConfig{Root: keys.Newest(), Key: keys.Online})
	if err != nil {
		return nil, err
	}
	copies, err := publish.OpenCopies(copiesDir(o.dir, id), id)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	x := export{o: o, req: req, keys: keys, log: log, copies: copies, report: report,
		open: func(ctx context.Context, rec store.Record) (content, error) { return o.store.Reopen(ctx, rec) }}
	line, err := x.run(ctx)
	return line, errors.Join(err, log.Close(), copies.Close())
}

func nothingPublished(channel string) error {
	return &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("nothing was published in channel %q", channel), Hint: "publish something first"}
}

// Export takes what the running node has open.
func (r *running) Export(ctx context.Context, req exportRequest, report func(console.Line)) (console.Line, error) {
	id, err := findChannel(r.dir, req.Channel)
	if err != nil {
		return nil, err
	}
	keys, err := keyfile.Open(keysDir(r.dir), id)
	if err != nil {
		return nil, err
	}
	p, err := r.publisher(ctx, id, console.Peering{}, false)
	if err != nil {
		return nil, err
	}
	x := export{o: &r.offline, req: req, keys: keys, log: p.Log(), copies: p.Copies(), report: report,
		open: func(ctx context.Context, rec store.Record) (content, error) {
			if it := r.item(fmt.Sprintf("%x", rec.InfoHash)); it != nil {
				if c := it.Content(); c != nil {
					return borrowed{c}, nil
				}
			}
			return r.store.Reopen(ctx, rec)
		}}
	return x.run(ctx)
}

// borrowed is content that the node goes on with.
type borrowed struct{ *store.Content }

func (borrowed) Close() error { return nil }

// export is one run of the command.
type export struct {
	o      *offline
	req    exportRequest
	keys   *keyfile.Keys
	log    *publish.Log
	copies publish.Copies // of other writers' logs
	open   func(ctx context.Context, rec store.Record) (content, error)
	report func(console.Line)

	fetched *store.Store // what fetch has with the same state directory; nil: nothing, or it is in use
	missing int          // torrents of entries in force that are not here
}

func (x *export) run(ctx context.Context) (console.Line, error) {
	size := x.log.Head().Size
	if x.log.Head().Raw == nil || size == 0 {
		return nil, nothingPublished(x.req.Channel)
	}
	first := x.req.Since.in(x.log, size)
	x.lacking()
	x.borrow()
	defer x.giveBack()
	items, err := x.items(first, size)
	if err != nil {
		return nil, err
	}
	if x.req.DryRun {
		plan := console.Plan{Action: "export", Name: x.keys.ID.String(), Path: x.req.HTTP + x.req.Bundle}
		for _, it := range items {
			plan.Bytes += it.t.Length()
			plan.Files += countFiles(it.t)
		}
		return plan, nil
	}
	if x.req.Bundle != "" {
		return x.bundle(ctx, items, first, size)
	}
	return x.mirror(ctx, items, size)
}

func (x *export) documents() (roots, targets [][]byte) {
	for _, r := range x.keys.Roots {
		roots = append(roots, r.Bytes())
	}
	for _, t := range x.keys.Documents {
		targets = append(targets, t.Bytes())
	}
	return roots, targets
}

// partly is the error of an export that lacks files.
func partly(lost error) error {
	if lost == nil {
		return nil
	}
	return &console.Fault{Code: console.Partly, Message: "some files were left out", Hint: "publish them again, or withdraw their entries", Err: lost}
}

func (x *export) mirror(ctx context.Context, items []exported, size int64) (console.Line, error) {
	c := mirror.Channel{ID: x.keys.ID, Writers: map[string]mirror.Log{signing.MainWriter: x.log}}
	for _, l := range x.others() {
		c.Writers[l.Writer()] = l
		size += l.Head().Size
	}
	c.Roots, c.Targets = x.documents()
	var lost error
	whole := items
	if !x.req.NoFiles {
		whole, lost = x.usable(ctx, items)
	}
	readable := make(map[[20]byte]bool)
	for _, it := range whole {
		readable[it.t.InfoHash()] = !x.req.NoFiles
	}
	for _, it := range items {
		item := mirror.Item{Torrent: it.t.WithSources(nil, nil)}
		if x.req.URL != "" {
			item.Torrent = it.t.WithSources(nil, []string{x.req.URL + mirror.FilesPath(x.keys.ID, it.t.InfoHash())})
		}
		if readable[it.t.InfoHash()] {
			item.Open = func(ctx context.Context) (mirror.Content, error) { return it.open(ctx) }
		}
		c.Items = append(c.Items, item)
	}
	report, err := mirror.Write(ctx, x.req.HTTP, c, x.progress)
	if err != nil {
		return nil, err
	}
	link, err := x.link()
	if err != nil {
		return nil, err
	}
	return console.Mirrored{Channel: x.keys.ID.String(), Path: x.req.HTTP, Link: link.String(), Entries: size, Items: len(items),
		Written: report.Written, Bytes: report.Bytes, Kept: report.Kept, Missing: x.missing}, partly(lost)
}

func (x *export) progress(done, total int64) {
	x.report(console.Progress{Stage: "copy", Done: done, Total: total})
}

func (x *export) bundle(ctx context.Context, items []exported, first, size int64) (console.Line, error) {
	var lost error
	if x.req.NoFiles {
		items = nil
	} else if items, lost = x.usable(ctx, items); lost != nil {
		x.report(console.Warning{Message: lost.Error()})
	}
	from := map[string]int64{signing.MainWriter: first}
	news := bundle.News{Writers: map[string]bundle.Log{signing.MainWriter: wholeLog{x.log, size}}, Since: func(w string) int64 { return from[w] }}
	entries := size - first
	for _, l := range x.others() {
		total := l.Head().Size
		from[l.Writer()] = x.sinceIn(l)
		news.Writers[l.Writer()] = wholeLog{l, total}
		entries += total - from[l.Writer()]
	}
	news.Roots, news.Targets = x.documents()
	if at, _, version := x.log.Grant(); version > 0 {
		news.Grants = []int64{at}
	}
	link, err := x.link()
	if err != nil {
		return nil, err
	}
	n, err := console.WriteBundle(x.req.Bundle, x.req.Force, x.keys.ID, func(w *bundle.Writer) error {
		if err := w.PutNews(news); err != nil {
			return err
		}
		return x.putItems(ctx, w, items)
	})
	if err != nil {
		return nil, err
	}
	return console.Bundled{Channel: x.keys.ID.String(), Path: x.req.Bundle, Link: link.String(),
		Entries: entries, Items: len(items), Bytes: n, Missing: x.missing}, partly(lost)
}
