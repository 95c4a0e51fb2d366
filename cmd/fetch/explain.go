package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"handful/manifest"
	"handful/signing"
	"handful/swarm"
	"handful/swarm/console"
)

func explainCommand(a *console.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain LINK|INFOHASH|PATH",
		Short: "Say from whom each piece came, and why not from nearer",
		Long: `Explain tells of every piece of something that the running node fetches, or has
fetched since it started: which peer sent it, how near that peer is (host, link, site,
far, origin), how long the piece waited from when somebody was known to have it, and why
it did not come from nearer. Of pieces that lack it tells whom they are awaited from.

The node is a "fetch serve", or a fetch that is not complete or stays with --seed-for.
What is to be explained is named by its link, its infohash, its torrent file, or where
it was fetched to. Pieces with the same answer stand in one row of a table; --json prints
a line for each, see "fetch help json".

Exit status: 0, 2 (a bad link), 10 (no node runs, or it does not have that), 11, 130 and
143.`,
		Example: "  fetch explain ./Demo\n  fetch explain --json 2c26b46b68ffc68ff99b453c1d30413413422d70",
		Args:    a.Args(1, 1, "the link, infohash or path of what to explain"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return fetchedHashes(cmd.Context(), a), cobra.ShellCompDirectiveDefault
		},
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		link, err := readLink(a, args[0])
		if err != nil {
			return err
		}
		if args[0] == "-" {
			a.Replace("-", link)
		}
		w, err := parseWanted(a, link)
		if err != nil {
			return err
		}
		return console.WithState(cmd.Context(), a, openOffline, func(ctx context.Context, s state) error {
			head, pieces, err := s.Explain(ctx, w)
			if err != nil {
				return err
			}
			a.Out().Print(head)
			if !a.Common.JSON {
				if len(pieces) > 0 {
					_, err = fmt.Fprint(a.Env.Stdout, console.ExplainTable(pieces))
				}
				return err
			}
			for _, p := range pieces {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				a.Out().Print(p)
			}
			return nil
		})
	}
	return cmd
}

// wanted names something that a node has; one of the three is set.
type wanted struct {
	word   string // as the user said it
	link   *signing.Link
	hashes []swarm.Infohash // under any of which it may be known
	path   string           // absolute
}

// parseWanted finds out how a word names something, without asking the network.
func parseWanted(a *console.App, word string) (w wanted, err error) {
	w.word = word
	scheme, _, _ := strings.Cut(word, ":")
	switch strings.ToLower(scheme) {
	case "handful":
		l, err := signing.ParseLink(word)
		w.link = &l
		return w, err
	case "magnet":
		m, err := manifest.ParseMagnet(word)
		if m.HasV1 {
			w.hashes = append(w.hashes, m.InfoHash)
		}
		if m.HasV2 {
			w.hashes = append(w.hashes, swarm.Infohash(m.InfoHashV2[:20]))
		}
		return w, err
	case "http", "https":
		return w, console.Usagef("name its infohash, or where it was fetched to; `fetch status` has both", "%s would have to be fetched to know what it names", word)
	}
	if sum, err := hex.DecodeString(word); err == nil && (len(sum) == 20 || len(sum) == 32) {
		w.hashes = []swarm.Infohash{swarm.Infohash(sum[:20])}
		return w, nil
	}
	if bareID(word) {
		return w, console.Usagef("write handful:"+word, "%q is a channel's id without its scheme", word)
	}
	w.path = a.Env.Path(word)
	if strings.EqualFold(filepath.Ext(word), ".torrent") {
		if b, err := readTorrent(w.path); err == nil {
			if t, err := manifest.Parse(b); err == nil {
				w.hashes = hashesOf(t)
			}
		}
	}
	return w, nil
}

func hashesOf(t *manifest.Torrent) (all []swarm.Infohash) {
	if v1, ok := t.InfoHashV1(); ok {
		all = append(all, swarm.Infohash(v1))
	}
	if v2, ok := t.InfoHashV2(); ok {
		all = append(all, swarm.Infohash(v2[:20]))
	}
	return all
}

// means tells how well a torrent of the node fits: 0 is not at all, and of several
// entries of one channel the newest fits best.
func (w wanted) means(f *fetching) int64 {
	if l := w.link; l != nil {
		same := f.meta.Channel == l.ID.String() && f.meta.Writer == l.Writer
		if same && (l.Index < 0 || l.Index == f.meta.Index) {
			return 1 + f.meta.Index
		}
		return 0
	}
	known := []swarm.Infohash{f.item.Infohash()}
	if t := f.item.Torrent(); t != nil {
		known = append(known, hashesOf(t)...)
	}
	for _, h := range w.hashes {
		for _, k := range known {
			if h == k {
				return 1
			}
		}
	}
	if w.path != "" && f.name() != "" && samePath(filepath.Join(f.dest, f.name()), w.path) {
		return 1
	}
	return 0
}

func (f *fetching) name() string {
	if t := f.item.Torrent(); t != nil {
		return t.Name
	}
	return ""
}

// Explain says how what the node has came.
func (r *running) Explain(_ context.Context, w wanted) (console.Explained, []console.Piece, error) {
	r.mu.Lock()
	all := make([]*fetching, 0, len(r.items))
	for _, f := range r.items {
		all = append(all, f)
	}
	r.mu.Unlock()
	var best *fetching
	var fits int64
	for _, f := range all {
		if n := w.means(f); n > fits {
			best, fits = f, n
		}
	}
	if best == nil {
		return console.Explained{}, nil, &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("the running node has nothing that %s names", w.word),
			Hint: "see `fetch status` for what it has; what it fetched before it started cannot be explained"}
	}
	head, pieces := console.ExplainedOf(best.item.Explain())
	return head, pieces, nil
}

// Explain has nothing to tell: only a node knows.
func (o *offline) Explain(_ context.Context, w wanted) (console.Explained, []console.Piece, error) {
	return console.Explained{}, nil, &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("explain %s: no node runs for %s", w.word, o.dir),
		Hint: "ask while it is being fetched, or let the node stay: `fetch serve`, or `fetch --seed-for 1h LINK`",
		Err:  errors.New("only the node that fetched it knows")}
}

// fetchedHashes are completions: what was fetched, newest first.
func fetchedHashes(ctx context.Context, a *console.App) (words []string) {
	var out bytes.Buffer
	if err := a.Quietly(ctx, tree, &out, "status", "--json"); err != nil {
		return nil
	}
	for line := range bytes.Lines(out.Bytes()) {
		var item struct {
			Type string `json:"type"`
			console.Item
		}
		if json.Unmarshal(line, &item) == nil && item.Type == "item" {
			words = append([]string{item.Infohash + "\t" + console.Clean(item.Name)}, words...)
		}
	}
	return words
}
