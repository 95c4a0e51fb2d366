package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"handful/signing"
	"handful/swarm/console"
	"handful/swarm/feed"
)

// wishes are what somebody wants of a channel that he follows.
type wishes struct {
	Name  string
	Last  int // 0: not said
	Count *int
	Age   *time.Duration
	Bytes *int64
	Pin   []string // nil: not said
	console.Peering
}

// apply takes over what was said.
func (w wishes) apply(s *subscription) {
	if w.Count != nil {
		s.Count = *w.Count
	}
	if w.Age != nil {
		s.Age = *w.Age
	}
	if w.Bytes != nil {
		s.Bytes = *w.Bytes
	}
	if w.Pin != nil {
		s.Pin = slices.DeleteFunc(slices.Clone(w.Pin), func(tag string) bool { return tag == "" })
	}
}

// followRequest is what is to be followed and how.
type followRequest struct {
	Links []signing.Link // none: all that are followed
	wishes
	Since   time.Time // show what was said since then again; zero: not said
	Tags    []string  // only entries with one of them; none: all
	Hook    *feed.Hook
	Reader  string // whose cursor the hook has
	Dir     string // absolute: where the files of entries are put; "": nowhere
	Who     bool   // report who is around
	Once    bool   // end when all that is known was shown
	Timeout time.Duration
	Width   int
}

// keeping are the flags that say what is kept.
type keeping struct {
	count int
	age   time.Duration
	bytes int64
	pin   []string
}

func (k *keeping) addFlags(f *pflag.FlagSet) {
	f.IntVar(&k.count, "keep-count", 0, "keep so many entries of the channel in the archive; 0 = no bound")
	f.Var(console.SpanFlag(&k.age), "keep-age", "keep entries for so long: 30d, 12h; 0 = no bound")
	f.Var(console.SizeFlag(&k.bytes), "keep-bytes", "keep so many bytes: 500K, 5M; 0 = no bound")
	f.StringSliceVar(&k.pin, "pin", nil, "keep entries with this tag whatever their number, age and size; \"\" = none")
}

// wishes takes over what was said.
func (k *keeping) wishes(f *pflag.FlagSet, w *wishes) {
	if f.Changed("keep-count") {
		w.Count = &k.count
	}
	if f.Changed("keep-age") {
		w.Age = &k.age
	}
	if f.Changed("keep-bytes") {
		w.Bytes = &k.bytes
	}
	if f.Changed("pin") {
		w.Pin = append([]string{}, k.pin...)
	}
}

const followLong = `Follow prints the entries of channels: what came since it was last run, at the first
time the newest 50 of each, and then each new one as it is said. Without a link it
follows all channels that were followed before. "fetch serve" follows them too, and
shows them to feed readers.

All that comes is kept in an archive, one JSON object a line, in the state directory
under feeds/<channel>/archive. --keep-count, --keep-age and --keep-bytes bound it, and
--pin names tags whose entries are always kept. What --last or --since ask for and is
not there is had from peers and not kept.

--output DIR fetches what entries bring along, the files attached to posts and what is
published, into DIR/NAME/WRITER-INDEX, verified, and passes it on while the command
runs. Nothing is replaced there; what is withdrawn is not fetched. It goes on where it was,
also after a crash.

--exec runs a program for each entry, with the entry as JSON on its standard input and
without a shell. It has its own place in each channel, so that it gets each entry once
it has ended with 0 and again until then, also over a restart; after a crash it may get
one twice. HANDFUL_CHANNEL, HANDFUL_WRITER and HANDFUL_INDEX tell. The next entry waits
for the one before.

--who says which writers are around, and how many others this node is connected with: a
writer's node proves that it is there, and says so unless it is told not to (seed serve
--hidden). Who only follows tells nobody a name.

Beside a node that already runs for the state directory, that one follows, and says so;
it goes on when this command ends.

With --once, when nobody answers before --timeout, what is known here is shown, from a
bundle for example, with a warning.

Exit status: 0 (--once), 1, 2, 3 (--once: files that nobody sent, or that cannot be put there), 10 (--once:
nobody answered before --timeout, and there was nothing to show), 11 (the node that runs does not answer,
or refuses), 12, 14, 15 (--once: the program failed), 130 and 143.`

func followCommand(a *console.App) *cobra.Command {
	var r followRequest
	var stay console.Stay
	var keep keeping
	var hook, output string
	timeout := feed.DefaultHookTimeout
	cmd := &cobra.Command{
		Use:     "follow [LINK...]",
		Short:   "Print what channels say, as it is said",
		Long:    followLong,
		Example: "  fetch follow handful:agaagous… --last 10\n  fetch follow handful:agaagous… -o ./room\n  fetch follow --once --json | jq .title\n  fetch follow handful:agaagous… --tag alarm --exec ./ring.sh",
		Args:    cobra.ArbitraryArgs,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Name, "name", "", "what to call the channel here: a-z, 0-9, dot, dash, underscore (default what its link says)")
	f.Var(console.Range(&r.Last, 0, 1_000_000), "last", "show the newest so many of each channel, even if they were shown before; 0 = none but what is new")
	f.Var(console.SinceFlag(&r.Since, a.Env.Now), "since", "show what was said since then, even if it was shown before: 24h, 7d, 2026-01-02")
	f.StringSliceVar(&r.Tags, "tag", nil, "only entries with this tag; several are separated by commas, or given one by one")
	f.StringVarP(&output, "output", "o", "", "directory to put the files of entries into, each entry's in one of its own")
	f.StringVar(&hook, "exec", "", "program to run for each entry, which it gets as JSON on standard input; no shell")
	f.Var(console.SpanFlag(&timeout), "exec-timeout", "kill the program after so long")
	f.BoolVar(&r.Who, "who", false, "say also who is around, whenever that changes")
	f.BoolVar(&r.Once, "once", false, "end when all that was said until now is shown")
	keep.addFlags(f)
	r.AddFlags(f)
	stay.AddTimeout(f, a.Env)
	a.AddNode(false, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		keep.wishes(cmd.Flags(), &r.wishes)
		if !cmd.Flags().Changed("last") { // also by a variable
			r.Last = -1
		}
		r.Timeout, r.Width = stay.Timeout, a.Env.Width()
		if r.Dir = ""; output != "" {
			r.Dir = a.Env.Path(output)
		}
		if err := r.complete(a, args, hook, timeout); err != nil {
			return err
		}
		return console.WithNode(ctx, a, tree, opener(a), func(ctx context.Context, n node) error {
			if a.Env.Held == nil {
				a.Out().Print(n.Listening())
			}
			return n.Follow(ctx, r, func(l console.Line) {
				if f, ok := l.(console.Followed); ok && a.Env.Held != nil {
					f.Node = a.Env.Held.Verb
					l = f
				}
				a.Out().Print(l)
			})
		})
	}
	return cmd
}

// complete checks what was given and fills the request.
func (r *followRequest) complete(a *console.App, links []string, hook string, timeout time.Duration) error {
	r.Links = nil
	for _, arg := range links {
		word, err := readLink(a, arg)
		if err != nil {
			return err
		}
		if arg == "-" {
			a.Replace("-", word)
		}
		if bareID(word) {
			word = "handful:" + word
		}
		l, err := signing.ParseLink(word)
		if err != nil {
			return err
		}
		r.Links = append(r.Links, l)
	}
	if r.Name != "" && (len(r.Links) != 1 || !validName.MatchString(r.Name)) {
		return console.Usagef("use a-z, 0-9, dot, dash and underscore, beginning with a letter or digit, and one link", "--name %q is no name for a channel", r.Name)
	}
	if r.Count != nil && *r.Count < 0 {
		return console.Usagef("0 = no bound", "--keep-count %d is no number of entries", *r.Count)
	}
	if hook == "" {
		return nil
	}
	path := hook
	if strings.ContainsRune(hook, filepath.Separator) || strings.ContainsRune(hook, '/') {
		path = a.Env.Path(hook)
	}
	path, err := exec.LookPath(path)
	if errors.Is(err, exec.ErrDot) {
		path, err = a.Env.Path(path), nil
	}
	if err != nil {
		code := console.Failed
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			code = console.NotFound
		}
		return &console.Fault{Code: code, Message: "--exec", Hint: "give the path of a program that can be run; arguments belong into a script", Err: err}
	}
	r.Hook = &feed.Hook{Path: path, Dir: a.Env.Dir, Timeout: timeout}
	sum := sha256.Sum256([]byte(path + "\x00" + strings.Join(r.Tags, "\x00")))
	r.Reader = "exec-" + hex.EncodeToString(sum[:8])
	return nil
}

func unfollowCommand(a *console.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unfollow CHANNEL...",
		Short: "Follow channels no more",
		Long: `Unfollow ends the following of channels, each named by its link, its id or the name
that it has here. What was said stays in the archive.

Exit status: 0, 2, 10 (it is not followed), 11.`,
		Args: a.Args(1, -1, "a channel"),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return console.WithState(cmd.Context(), a, openOffline, func(ctx context.Context, s state) error {
			for _, word := range args {
				line, err := s.Unfollow(ctx, word)
				if err != nil {
					return err
				}
				a.Out().Print(line)
			}
			return nil
		})
	}
	return cmd
}
