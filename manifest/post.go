package manifest

// KindPost is the kind of a Post.
const KindPost = "post"

// Post is a text. It has a title, a body or both.
type Post struct {
	Head  Header
	Title string // x
	Body  string // b
}

// Kind returns KindPost.
func (p Post) Kind() string { return KindPost }

// Header returns p.Head.
func (p Post) Header() Header { return p.Head }

// Bytes returns the encoding of p.
func (p Post) Bytes() []byte {
	m := p.Head.members(KindPost)
	if p.Title != "" {
		m.setString("x", p.Title)
	}
	if p.Body != "" {
		m.setString("b", p.Body)
	}
	return m.encode()
}

func (d *entryDict) post(h Header) Post {
	p := Post{Title: d.text("x", false), Body: d.text("b", false)}
	if p.Title == "" && p.Body == "" {
		d.fail("x", "a post without title and body")
	}
	p.Head = d.rest(h)
	return p
}
