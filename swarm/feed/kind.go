package feed

import (
	"slices"

	"handful/manifest"
	"handful/signing"
)

// EntryOf shows an entry of a channel. ok is false for kinds that are nothing to read.
//
//	post        as it is; each file that is attached is an attachment, called by the
//	            entry's own link handful:CHANNEL/WRITER/INDEX, before those elsewhere
//	media, rel  a post of which the title is the title, else the name, and that has one
//	            attachment: the content, by its link handful:CHANNEL/WRITER/INDEX
//	del         a post of which the text is the reason; Withdraws says what is withdrawn
func EntryOf(channel signing.ID, writer string, index int64, state string, said manifest.Entry) (e Entry, ok bool) {
	e = Entry{Channel: channel, Writer: writer, Index: index, State: state}
	switch said := said.(type) {
	case manifest.Post:
		e.Post = said
		if said.Attached != nil {
			e.attach(said.Attached.Files)
		}
	case manifest.Media:
		e.Kind = manifest.KindMedia
		e.Post = manifest.Post{Head: said.Head, Title: said.Title}
		if said.Title == "" {
			e.Post.Title = said.Name
		}
		e.Post.Attachments = []manifest.Attachment{{URL: e.URI(), Name: said.Name, Size: said.Size}}
	case manifest.Release:
		e.Kind = manifest.KindRelease
		e.Post = manifest.Post{Head: said.Head, Title: said.Version}
		e.Post.Attachments = []manifest.Attachment{{URL: e.URI(), Name: said.Version, Size: said.Size}}
	case manifest.Delete:
		e.Kind, e.Withdraws = manifest.KindDelete, said.Index
		e.Post = manifest.Post{Head: said.Head, Body: said.Reason}
	default:
		return Entry{}, false
	}
	return e, e.check() == nil
}

// attach makes attachments of the files of a post. Their links take more room than what stands
// in the entry: the last ones are left out where there is none, and what is said is not.
func (e *Entry) attach(files []manifest.AttachedFile) {
	var own []manifest.Attachment
	for _, f := range files {
		own = append(own, manifest.Attachment{URL: e.URI(), Type: f.Type, Name: f.Name, Size: f.Size})
	}
	elsewhere := e.Post.Attachments
	e.Post.Attached = nil
	for {
		e.Post.Attachments = slices.Concat(own, elsewhere)
		if len(own)+len(elsewhere) == 0 || len(e.Post.Bytes()) <= manifest.MaxEntry {
			return
		}
		if len(elsewhere) > 0 {
			elsewhere = elsewhere[:len(elsewhere)-1]
		} else {
			own = own[:len(own)-1]
		}
	}
}

// Brings returns the files that an entry brings along: content that is fetched by its link.
func (e Entry) Brings() (own []manifest.Attachment) {
	uri := e.URI()
	for _, a := range e.Post.Attachments {
		if a.URL == uri {
			own = append(own, a)
		}
	}
	return own
}

// kind returns the word for what an entry is.
func (e Entry) kind() string {
	if e.Kind == "" {
		return manifest.KindPost
	}
	return e.Kind
}

func knownKind(kind string) bool {
	return slices.Contains([]string{manifest.KindPost, manifest.KindMedia, manifest.KindRelease, manifest.KindDelete}, kind)
}

// check returns nil if an entry is one that EntryOf could have made.
func (e Entry) check() error {
	if e.Withdrawn() {
		_, err := manifest.EncodeEntry(manifest.Delete{Head: e.Post.Head, Index: e.Withdraws, Reason: e.Post.Body})
		return err
	}
	_, err := manifest.EncodeEntry(e.Post)
	return err
}

// withdrawn is what a del entry says of another.
type withdrawn struct{ by Entry }

// withdrawals returns which entries are withdrawn by others of a list.
func withdrawals(entries []Entry) map[key]withdrawn {
	var all map[key]withdrawn
	for _, e := range entries {
		if e.Withdrawn() {
			if all == nil {
				all = make(map[key]withdrawn)
			}
			all[key{e.Writer, e.Withdraws}] = withdrawn{e}
		}
	}
	return all
}

// withdrawnText is what stands in the place of a text that was withdrawn.
func withdrawnText(reason string) string {
	if reason == "" {
		return "Withdrawn by its writer."
	}
	return "Withdrawn by its writer: " + reason
}

// Withdrawn reports whether an entry withdraws another.
func (e Entry) Withdrawn() bool { return e.Kind == manifest.KindDelete }
