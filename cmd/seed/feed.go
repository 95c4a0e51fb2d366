package main

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"handful/swarm/console"
	"handful/swarm/feed"
)

// minEvery is how often a source is asked at most: a server is not ours. One of this machine,
// or a file, may be looked at more often.
const minEvery, minEveryHere = time.Minute, time.Second

// importRequest is what is to be imported and how.
type importRequest struct {
	Channel string // the name that -c gives
	Source  string // an http or https URL, or an absolute path
	Size    int    // bytes of an entry; 0: as many as it takes
	Newest  int    // of the first import; 0: all
	console.Peering
}

func feedCommand(a *console.App, serve *cobra.Command) *cobra.Command {
	cmd := a.Group(&cobra.Command{
		Use:   "feed",
		Short: "Import RSS, Atom and JSON feeds",
		Long: `Feed import makes posts of the items of an RSS, Atom or JSON feed: each once, and
again when it has changed. Feed ls lists what was imported from.`,
	})
	cmd.AddCommand(feedImport(a, serve), feedList(a))
	return cmd
}

func feedImport(a *console.App, serve *cobra.Command) *cobra.Command {
	var r importRequest
	var every time.Duration
	var short, leave bool
	cmd := &cobra.Command{
		Use:   "import URL|FILE",
		Short: "Make posts of the items of a feed",
		Long: `Import reads an RSS, Atom or JSON feed and posts what is new or has changed in it
since the last import of the same feed into the same channel, oldest first. With
--every it goes on doing so. HTML becomes text; what does not fit an entry is cut, and
the link leads to the rest. A server is asked only for what is new, and not before
the time that it names.

If a node already runs for this state directory, it does the work. Without --every and
without such a node the command stays until it is stopped, so that others can have
the posts.

Exit status: 0, 1 (the feed cannot be fetched or read), 2, 10 (no such file, or the
feed is gone), 11, 14, 130 and 143.`,
		Example: "  seed feed import https://example.org/feed.xml -c news --every 15m\n  seed feed import --no-wait ./feed.json",
		Args:    a.Args(1, 1, "a URL or a file"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	f := cmd.Flags()
	f.StringVarP(&r.Channel, "channel", "c", defaultChannel, "channel to post in; it is made at its first use")
	f.Var(console.SpanFlag(&every), "every", "import again and again, with so long in between, at least 1m, of this machine's files and servers 1s; 0 = once")
	f.BoolVar(&short, "short", false, "cut posts to what rides along with the news (600 bytes)")
	f.Var(console.Range(&r.Newest, 0, feed.MaxItems), "newest", "how many of the first import become posts, the newest; 0 = all")
	f.BoolVar(&leave, "no-wait", false, "leave the sending to a running seed serve, or to the next one")
	r.AddFlags(f)
	a.AddNode(true, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := r.complete(a, args[0], every, short); err != nil {
			return err
		}
		if a.Common.DryRun {
			return r.plan(cmd.Context(), a)
		}
		return console.WithNode(cmd.Context(), a, tree, opener(a), func(ctx context.Context, n node) error {
			return r.run(ctx, a, serve, n, every, leave)
		})
	}
	return cmd
}

// complete checks what was given and fills the request.
func (r *importRequest) complete(a *console.App, source string, every time.Duration, short bool) error {
	if err := checkChannelName(r.Channel); err != nil {
		return err
	}
	if r.Size = 0; short {
		r.Size = feed.ShortPost
	}
	u, err := url.Parse(source)
	switch {
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		r.Source = source
	case err == nil && len(u.Scheme) > 1 && u.Host != "": // C:\feed.xml is a file
		return console.Usagef("http and https are", "%q is no scheme that feeds are fetched with", u.Scheme)
	default:
		r.Source = a.Env.Path(source)
	}
	least := minEvery
	if u == nil || u.Host == "" || loopback(u.Hostname()) {
		least = minEveryHere
	}
	if every != 0 && every < least {
		return console.Usagef("", "--every: %s is less than %s", every, least)
	}
	return nil
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

func fetcher(a *console.App) *feed.Fetcher {
	return &feed.Fetcher{Now: a.Env.Now, UserAgent: "Handful"}
}

// plan says what would be posted if nothing had been imported before.
func (r *importRequest) plan(ctx context.Context, a *console.App) error {
	got, err := fetcher(a).Fetch(ctx, feed.Validators{URL: r.Source})
	if err != nil {
		return err
	}
	a.Out().Print(console.Feed{Source: r.Source, Channel: r.Channel, Title: got.Document.Title, Format: got.Document.Format,
		Items: len(got.Document.Items), New: len(got.Document.Items), More: got.Document.More, DryRun: true})
	return nil
}

// run imports with a node: once, or again and again.
func (r *importRequest) run(ctx context.Context, a *console.App, serve *cobra.Command, n node, every time.Duration, leave bool) error {
	out := a.Out()
	if a.Env.Held == nil {
		out.Print(n.Listening())
	}
	if every == 0 {
		if _, err := n.Import(ctx, *r, out.Print); err != nil {
			return err
		}
		return stayAfter(ctx, a, serve, n, leave)
	}
	for first := true; ; first = false {
		next, err := n.Import(ctx, *r, out.Print)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && (first || errors.Is(err, feed.ErrGone)):
			return err // what never worked is a mistake; what worked may work again
		case err != nil:
			out.Print(console.Warning{Message: err.Error()})
		}
		wait := time.NewTimer(max(every, next.Sub(a.Env.Now())))
		select {
		case <-ctx.Done():
			wait.Stop()
			return context.Cause(ctx)
		case <-wait.C:
		}
	}
}

func feedList(a *console.App) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the feeds that were imported",
		Args:  a.Args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return console.WithState(cmd.Context(), a, openOffline, func(_ context.Context, l lister) error {
				sources, err := l.Feeds()
				if err != nil {
					return err
				}
				for _, s := range sources {
					line := console.Feed{Source: s.state.Source, Channel: s.channel.String(), Items: s.state.Known(), Listed: true}
					if s.state.URL != s.state.Source {
						line.URL = s.state.URL
					}
					if s.state.NotBefore.After(a.Env.Now()) {
						line.Next = s.state.NotBefore.Format(time.RFC3339)
					}
					a.Out().Print(line)
				}
				return nil
			})
		},
	}
}

// later is when a busy source may be asked again, the zero time if it is not busy.
func later(err error) time.Time {
	if busy, ok := errors.AsType[*feed.BusyError](err); ok {
		return busy.Until
	}
	return time.Time{}
}
