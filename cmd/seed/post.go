package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/console"
	"handful/swarm/feed"
	"handful/swarm/publish"
)

// postRequest is what is to be said.
type postRequest struct {
	Channel string // the name that -c gives
	Text    string
	Title   string
	ReplyTo string // a link, WRITER/INDEX or INDEX
	Tags    []string
	Attach  []string // absolute paths of files
	Private bool     // the channel is, or is made so
	console.Peering
}

func postCommand(a *console.App, serve *cobra.Command) *cobra.Command {
	var r postRequest
	var attach []string
	var leave bool
	cmd := &cobra.Command{
		Use:   "post TEXT|-",
		Short: "Post a text in a channel",
		Long: `Post signs a text as the channel's newest entry and prints its link. "-" reads the
text from standard input. It may have almost 48 KiB; longer ones are published as
files. Files that are attached are part of the post and seeded where they are, like
what is published. If a node already runs for this state directory, it posts and this
command ends; else this one stays until it is stopped, so that others can have the text.

Exit status: 0, 1 (an attached file changed while it was hashed), 2 (no text, or too long;
what cannot be attached), 10 (no such file), 11, 14, 130 and 143.`,
		Example: "  seed post 'Tea at four'\n  date | seed post --title 'The time' -\n  seed post 'The slides of today' --attach slides.pdf --attach notes.txt",
		Args:    a.Args(1, 1, "a text, in quotes, or - for standard input"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	f := cmd.Flags()
	f.StringVarP(&r.Channel, "channel", "c", defaultChannel, "channel to post in; it is made at its first use")
	f.BoolVar(&r.Private, "private", false, privateUsage)
	f.StringVar(&r.Title, "title", "", "what to call it")
	f.StringVar(&r.ReplyTo, "reply-to", "", "the entry that it answers: its link, WRITER/INDEX or INDEX")
	f.StringSliceVar(&r.Tags, "tag", nil, "a tag; several are separated by commas, or given one by one")
	f.StringArrayVar(&attach, "attach", nil, "a file that is part of the post; give it again for each, up to 64")
	f.BoolVar(&leave, "no-wait", false, "leave the sending to a running seed serve, or to the next one")
	r.AddFlags(f)
	a.AddNode(true, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkChannelName(r.Channel); err != nil {
			return err
		}
		if _, err := replyTo(signing.ID{}, r.ReplyTo); err != nil {
			return err
		}
		r.Text = args[0]
		var err error
		if r.Attach, err = attachable(a, attach); err != nil {
			return err
		}
		if a.Common.DryRun {
			return r.plan(cmd.Context(), a)
		}
		return console.WithNode(cmd.Context(), a, tree, opener(a), func(ctx context.Context, n node) error {
			return r.run(ctx, a, serve, n, leave)
		})
	}
	return cmd
}

// plan says what would be posted. It reads and hashes what is attached.
func (r *postRequest) plan(ctx context.Context, a *console.App) error {
	if err := r.read(a.Env.Stdin); err != nil {
		return err
	}
	plan := console.Plan{Action: "post", Name: firstLine(r.Title, r.Text), Bytes: int64(len(r.Text))}
	if len(r.Attach) > 0 {
		t, _, err := hashAttached(ctx, r.content(), func(p console.Progress) { a.Out().Print(p) })
		if err != nil {
			return err
		}
		plan.Bytes += t.Length()
		plan.Files = countFiles(t)
	}
	a.Out().Print(plan)
	return nil
}

// run posts with a node, and stays with it if it is this command's own.
func (r *postRequest) run(ctx context.Context, a *console.App, serve *cobra.Command, n node, leave bool) error {
	if err := r.read(a.Env.Stdin); err != nil {
		return err
	}
	if a.Env.Held == nil {
		a.Out().Print(n.Listening())
	}
	posted, err := n.Post(ctx, *r, func(p console.Progress) { a.Out().Print(p) })
	if err != nil {
		return err
	}
	a.Out().Print(posted)
	return stayAfter(ctx, a, serve, n, leave)
}

// stayAfter serves what was posted: until it is stopped, if no other node does it.
func stayAfter(ctx context.Context, a *console.App, serve *cobra.Command, n node, leave bool) error {
	switch {
	case a.Env.Held != nil:
		return nil
	case leave:
		a.Out().Print(console.Note{Message: "nobody can have it yet: run `seed serve`"})
		return nil
	}
	a.Rerun(serve)
	a.Out().Print(console.Seeding{})
	return n.Serve(ctx, console.Peering{}, a.Out().Print)
}

// read takes the text from standard input if that is meant, and checks it.
func (r *postRequest) read(stdin io.Reader) error {
	if r.Text == "-" {
		b, err := io.ReadAll(io.LimitReader(stdin, manifest.MaxEntry+1))
		if err != nil {
			return fmt.Errorf("read the text from standard input: %w", err)
		}
		r.Text = string(b)
	}
	r.Text = strings.TrimSpace(r.Text)
	switch {
	case r.Text == "" && r.Title == "":
		return console.Usagef("", "there is no text")
	case !utf8.ValidString(r.Text) || !utf8.ValidString(r.Title) || !utf8.ValidString(strings.Join(r.Tags, "")):
		return console.Usagef("convert it first, or publish it as a file", "the text is not UTF-8")
	case len(r.Text) > feed.MaxPost:
		return console.Usagef("publish it as a file", "the text has more than %d bytes", feed.MaxPost)
	}
	return nil
}

// firstLine is what a post is called where there is one line for it.
func firstLine(title, text string) string {
	if title != "" {
		return title
	}
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// replyTo returns the entry that a word means, as an entry of channel names it.
func replyTo(channel signing.ID, word string) (string, error) {
	if word == "" {
		return "", nil
	}
	bad := console.Usagef("a link that ends in an index, WRITER/INDEX and INDEX are", "--reply-to: %q names no entry", word)
	if strings.Contains(word, ":") {
		l, err := signing.ParseLink(word)
		if err != nil || l.Index < 0 {
			return "", bad
		}
		entry := l.Writer + "/" + strconv.FormatInt(l.Index, 10)
		if l.ID != channel {
			entry = l.ID.String() + "/" + entry
		}
		return entry, nil
	}
	writer, number, found := strings.Cut(word, "/")
	if !found {
		writer, number = signing.MainWriter, word
	}
	index, err := strconv.ParseInt(number, 10, 64)
	if err != nil || index < 0 || strconv.FormatInt(index, 10) != number || !signing.ValidWriter(writer) {
		return "", bad
	}
	return writer + "/" + number, nil
}

// Post signs a text. What is attached is hashed before anything else is done.
func (r *running) Post(ctx context.Context, req postRequest, report func(console.Progress)) (out console.Posted, err error) {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	private, err := r.isPrivate(req.Channel, req.Private)
	if err != nil {
		return out, err
	}
	var t *manifest.Torrent
	var src []manifest.Source
	if len(req.Attach) > 0 && !private {
		if t, src, err = hashAttached(ctx, req.content(), report); err != nil {
			return out, err
		}
	}
	id, fresh, err := r.channel(req.Channel, private)
	if err != nil {
		return out, err
	}
	post := manifest.Post{Title: req.Title, Body: req.Text, Tags: req.Tags}
	if post.ReplyTo, err = replyTo(id, req.ReplyTo); err != nil {
		return out, err
	}
	p, err := r.publisher(ctx, id, req.Peering, fresh)
	if err != nil {
		return out, err
	}
	if len(req.Attach) > 0 {
		return r.postAttached(ctx, id, p, post, req.content(), t, src, report)
	}
	b, err := r.entry(&post)
	if err != nil {
		return out, err
	}
	index, err := p.Publish(b)
	if err != nil {
		return out, err
	}
	return r.posted(p, req.Peering, index, post, len(b))
}

// entry returns a post as an entry that is written now.
func (r *running) entry(post *manifest.Post) ([]byte, error) {
	post.Head.Time = r.app.Env.Now().UnixMilli()
	b, err := manifest.EncodeEntry(*post)
	if errors.Is(err, manifest.ErrTooLarge) {
		return nil, &console.Fault{Code: console.Usage, Message: "post", Hint: "shorten it, or publish it as a file", Err: err}
	}
	return b, err
}

// posted says what was posted, as an entry of so many bytes.
func (r *running) posted(p *publish.Publisher, with console.Peering, index int64, post manifest.Post, bytes int) (out console.Posted, err error) {
	link := signing.Link{ID: p.ID(), Writer: p.Writer(), Index: index, WebSeeds: with.WebSeeds}
	addrs := r.node.Addrs()
	for _, a := range addrs[:min(maxHints, len(addrs))] {
		link.Peers = append(link.Peers, a.String())
	}
	if link, err = r.withKey(link); err != nil {
		return out, err
	}
	return console.Posted{
		Channel: p.ID().String(), Writer: p.Writer(), Index: index, Link: link.String(),
		Title: firstLine(post.Title, post.Body), ID: post.ID, Bytes: int64(bytes),
	}, nil
}
