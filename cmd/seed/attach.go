package main

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/console"
	"handful/swarm/publish"
)

// maxAttachedName is how many bytes the directory of several files is called by.
const maxAttachedName = 64

// attachable checks the files that are to be attached, as far as a look tells, and returns
// their absolute paths.
func attachable(a *console.App, words []string) ([]string, error) {
	if len(words) > manifest.MaxAttached {
		return nil, console.Usagef("publish them as a directory, and post its link", "--attach: %d files are more than %d", len(words), manifest.MaxAttached)
	}
	var paths []string
	names := make(map[string]string)
	for _, word := range words {
		path := a.Env.Path(word)
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, &console.Fault{Code: console.Code(err), Message: "attach", Hint: "check the path", Err: err}
		case info.IsDir():
			return nil, console.Usagef("attach its files one by one, or publish it with `seed publish` and post its link", "--attach: %s is a directory", word)
		case !info.Mode().IsRegular():
			return nil, console.Usagef("attach a copy of what it says", "--attach: %s is no regular file", word)
		}
		name := strings.ToLower(norm.NFC.String(filepath.Base(path)))
		if other, twice := names[name]; twice {
			return nil, sameName(fmt.Sprintf("--attach: %s and %s have the same name, for some systems at least", other, word), nil)
		}
		names[name] = word
		paths = append(paths, path)
	}
	return paths, nil
}

func sameName(message string, err error) error {
	return &console.Fault{Code: console.Usage, Message: message, Hint: "rename one of them", Err: err}
}

// unattachable explains why files cannot be attached.
func unattachable(err error) error {
	switch {
	case errors.Is(err, manifest.ErrCollision):
		return sameName("attach", err)
	case errors.Is(err, manifest.ErrUnsafePath), errors.Is(err, manifest.ErrTooLarge), errors.Is(err, manifest.ErrUnsupported):
		return &console.Fault{Code: console.Usage, Message: "attach", Hint: "rename it, or leave it out", Err: err}
	}
	return err
}

// content is what is to be attached, as what is to be published.
func (r *postRequest) content() publishRequest {
	req := publishRequest{Paths: r.Attach, Channel: r.Channel, Title: firstLine(r.Title, r.Text), Private: r.Private, Peering: r.Peering}
	if len(r.Attach) > 1 {
		req.Name = attachedName(r.Title)
	}
	return req
}

// attachedName returns what the directory of several files is called: as the post, where that
// is a name on every system.
func attachedName(title string) string {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`/\<>:"|?*`, r) {
			return '-'
		}
		return r
	}, norm.NFC.String(title))
	for len(name) > maxAttachedName || !utf8.ValidString(name) {
		name = name[:len(name)-1]
	}
	if name = strings.Trim(name, " .-"); name == "" {
		return "files"
	}
	return name + " files" // "CON" alone is a device
}

// hashAttached makes the torrent of what is to be attached.
func hashAttached(ctx context.Context, req publishRequest, report func(console.Progress)) (*manifest.Torrent, []manifest.Source, error) {
	t, src, err := manifest.Build(ctx, req.Paths, manifest.BuildOptions{Name: req.Name, Progress: hashing(report)})
	if err == nil {
		err = t.CheckDestination("darwin") // names that differ in more ways than a look has found
	}
	return t, src, unattachable(err)
}

// mediaType is what a file is by its name, "" if that says nothing.
func mediaType(name string) string {
	kind, _, _ := strings.Cut(mime.TypeByExtension(strings.ToLower(filepath.Ext(name))), ";")
	return kind
}

// asPost says that a torrent is attached to a post. inner is that which readers see: t itself,
// unless it is ciphertext.
func (r *running) asPost(post *manifest.Post, t, inner *manifest.Torrent) (announcement, error) {
	a, err := manifest.AttachedOf(inner, mediaType)
	if err != nil {
		return announcement{}, unattachable(err)
	}
	a.InfoSum, a.Size = t.InfoSum(), t.Length()
	a.InfoHashV1, a.HasV1 = t.InfoHashV1()
	post.Attached = a
	return announcement{entry: func(time.Time) ([]byte, error) { return r.entry(post) }}, nil
}

// postAttached posts a text with files: they are seeded, and then the entry is signed.
func (r *running) postAttached(ctx context.Context, id signing.ID, p *publish.Publisher, post manifest.Post, req publishRequest, t *manifest.Torrent, src []manifest.Source, report func(console.Progress)) (out console.Posted, err error) {
	var m meta
	inner := t
	if t == nil { // of a private channel
		s, err := r.sealContent(ctx, id, req, report)
		if err != nil {
			return out, unattachable(err)
		}
		inner, t = s.inner, s.t
		say, err := r.asPost(&post, t, inner)
		if err != nil {
			return out, err
		}
		m = meta{Channel: id.String(), Writer: p.Writer(), Index: -1, Title: req.Title, Path: req.Paths[0], Name: inner.Name}
		if m, err = r.sign(p, t, m, s.it, s.c, say); err != nil {
			return out, err
		}
	} else {
		say, err := r.asPost(&post, t, inner)
		if err != nil {
			return out, err
		}
		if _, err := r.entry(&post); err != nil { // before anything is seeded
			return out, err
		}
		if m, err = r.seedAndSign(ctx, p, t, src, req, say); err != nil {
			return out, err
		}
	}
	out, err = r.posted(p, req.Peering, m.Index, post, len(post.Bytes()))
	out.Files, out.Content = len(post.Attached.Files), inner.Length()
	return out, err
}
