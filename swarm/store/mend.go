package store

import (
	"context"
)

// mend goes on where a run ended between the journal and the finished record. It
// returns nothing when the files are not those of the journal: then they are
// looked at like any others.
func (d *downloader) mend(ctx context.Context) (*Content, error) {
	c, stamps, err := d.journaled()
	if c == nil || err != nil {
		return nil, err
	}
	defer func() {
		if c.staging != nil { // it did not get to the end
			d.s.files.drop(c)
			c.staging.close()
		}
	}()
	if err := c.swap(stamps); err != nil {
		return nil, err
	}
	c.setServed()
	return c, ctx.Err()
}

// journaled opens the staging tree of an announced rename, if everything is as it
// was announced, on either side of the rename.
func (d *downloader) journaled() (*Content, []stamp, error) {
	ih := d.t.InfoHash()
	b, err := d.s.get(bucketStamps, ih)
	if err != nil {
		return nil, nil, err
	}
	files, err := decodeFiles(&cursor{b: b}, len(d.t.Files))
	if err != nil {
		d.s.log.Warn("the journal of a finished download cannot be read; its pieces are checked again", "torrent", d.t.Name, "error", err)
		return nil, nil, nil
	}
	root, err := openDest(d.dest)
	if err != nil {
		return nil, nil, err
	}
	g, err := openStaging(root, ih)
	if err != nil {
		return nil, nil, err
	}
	c := d.s.newContent(d.t, *d.old)
	c.force = d.row.Force
	c.row.Meta = d.row.Meta
	c.staging, c.phase = g, finishing
	p := &tree{t: d.t, dest: d.dest, prefix: g.newPath(), writable: true, root: g.root}
	c.place = p
	ok, err := g.exists(p.prefix)
	if err == nil && !ok {
		p.prefix = d.t.WrittenName()
		ok, err = g.exists(p.prefix)
	}
	if err != nil {
		g.close()
		return nil, nil, err
	}
	for i, was := range files.stamps {
		now, detail, err := c.look(i)
		if err != nil {
			g.close()
			return nil, nil, err
		}
		ok = ok && detail == "" && was.same(now)
	}
	if !ok {
		if g.made {
			err = g.discard()
		}
		g.close()
		if err != nil {
			return nil, nil, err
		}
		return nil, nil, nil
	}
	return c, files.stamps, nil
}
