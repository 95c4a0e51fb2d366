package manifest

import (
	"bytes"
	"maps"
	"unicode/utf8"

	"handful/manifest/bencode"
)

// KindPost is the kind of a Post.
const KindPost = "post"

// Post is a text. It has a title, a body or both. All else is optional.
type Post struct {
	Head  Header
	Title string // x
	Body  string // b

	// ID is what the post is called where it came from. Of two posts of one writer
	// with the same ID the later one is the newer version.
	ID        string // id
	Link      string // u: a page with more, as it was given
	Author    string // au: a name, which nothing proves
	ReplyTo   string // re: WRITER/INDEX in the same channel, or CHANNEL/WRITER/INDEX
	Published int64  // pub: Unix milliseconds, as its source says; 0 = when the entry was written
	Updated   int64  // upd: the same of its last change; 0 = when it was published
	// Tags and Attachments are left out when they are empty.
	Tags        []string     // tag: none is empty
	Attachments []Attachment // at
	Attached    *Attached    // i, i1, n, s, fl; nil: nothing is attached
}

// Attachment is a file elsewhere that a post points to. Nothing proves what is there.
type Attachment struct {
	URL  string // u
	Type string // m: media type, "" if it is not known
	Name string // n: "" if it has none
	Size int64  // s: bytes, 0 if it is not known

	extra members // keys that are not known
}

// Kind returns KindPost.
func (p Post) Kind() string { return KindPost }

// Header returns p.Head.
func (p Post) Header() Header { return p.Head }

// Bytes returns the encoding of p.
func (p Post) Bytes() []byte {
	m := p.Head.members(KindPost)
	for _, s := range []struct{ key, value string }{
		{"x", p.Title}, {"b", p.Body}, {"id", p.ID}, {"u", p.Link}, {"au", p.Author}, {"re", p.ReplyTo},
	} {
		if s.value != "" {
			m.setString(s.key, s.value)
		}
	}
	if p.Published != 0 {
		m.setInt("pub", p.Published)
	}
	if p.Updated != 0 {
		m.setInt("upd", p.Updated)
	}
	if len(p.Tags) > 0 {
		b := []byte{'l'}
		for _, tag := range p.Tags {
			b = bencode.AppendString(b, tag)
		}
		m["tag"] = append(b, 'e')
	}
	if len(p.Attachments) > 0 {
		b := []byte{'l'}
		for _, a := range p.Attachments {
			b = append(b, a.encode()...)
		}
		m["at"] = append(b, 'e')
	}
	if p.Attached != nil {
		p.Attached.set(m)
	}
	return m.encode()
}

func (a Attachment) encode() []byte {
	m := make(members, len(a.extra)+4)
	maps.Copy(m, a.extra)
	m.setString("u", a.URL)
	if a.Type != "" {
		m.setString("m", a.Type)
	}
	if a.Name != "" {
		m.setString("n", a.Name)
	}
	if a.Size != 0 {
		m.setInt("s", a.Size)
	}
	return m.encode()
}

func (d *entryDict) post(h Header) Post {
	p := Post{
		Title: d.text("x", false), Body: d.text("b", false),
		ID: d.text("id", false), Link: d.text("u", false), Author: d.text("au", false), ReplyTo: d.text("re", false),
		Published: d.integer("pub", false, maxMillis, 0), Updated: d.integer("upd", false, maxMillis, 0),
		Tags: d.tags(), Attachments: d.attachments(), Attached: d.attached(),
	}
	if p.Title == "" && p.Body == "" {
		d.fail("x", "a post without title and body")
	}
	p.Head = d.rest(h)
	return p
}

func (d *entryDict) tags() (tags []string) {
	r := d.reader("tag", false)
	if r == nil {
		return nil
	}
	empty, invalid := false, false
	r.List(func() {
		s := r.String()
		empty, invalid = empty || s == "", invalid || !utf8.ValidString(s)
		tags = append(tags, s)
	})
	switch {
	case !d.end("tag", r):
	case empty:
		d.fail("tag", "a tag is empty")
	case invalid:
		d.fail("tag", "a tag is not valid UTF-8")
	}
	return tags
}

func (d *entryDict) attachments() (all []Attachment) {
	r := d.reader("at", false)
	if r == nil {
		return nil
	}
	r.List(func() {
		in := inner(r)
		if in == nil {
			return
		}
		a := Attachment{URL: in.text("u", true), Type: in.text("m", false), Name: in.text("n", false), Size: in.integer("s", false, maxMillis, 0)}
		if in.err == nil && a.URL == "" {
			in.fail("u", "it is empty")
		}
		r.Fail(in.err)
		a.extra = in.rest(Header{}).extra
		all = append(all, a)
	})
	d.end("at", r)
	return all
}

// inner reads a dictionary in a list, whose values are then checked as those of the entry
// are; nil when it is none.
func inner(r *bencode.Reader) *entryDict {
	in := &entryDict{members: make(members), seen: make(map[string]bool)}
	r.Dict(func(key string) { in.members[key] = bytes.Clone(r.Skip()) })
	if r.Err() != nil {
		return nil
	}
	return in
}
