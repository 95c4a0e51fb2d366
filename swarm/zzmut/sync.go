package store

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// manyFiles is the number of files and directories from which on the whole file
// system is synced instead of each of them, where the system can do that.
const manyFiles = 256

// sync makes files and directories of the staging tree durable.
func (c *Content) sync(ctx context.Context) error {
	p := c.place.(*tree)
	var files []int
	for i := range c.dirty {
		if c.dirty[i].Load() {
			files = append(files, i)
		}
	}
	dirs := c.directories()
	done := false
	if len(files)+len(dirs) > manyFiles {
		d, err := p.root.Open(c.staging.name)
		if err != nil {
			return diskError("open", filepath.Join(p.dest, c.staging.name), err)
		}
		done, err = syncAll(d)
		d.Close()
		if err != nil {
			return diskError("sync", p.dest, err)
		}
	}
	if !done {
		if err := c.syncEach(ctx, files, dirs); err != nil {
			return err
		}
	}
	for _, i := range files {
		c.dirty[i].Store(false)
	}
	return nil
}

func (c *Content) syncEach(ctx context.Context, files []int, dirs []string) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, i := range files {
		g.Go(func() error {
			if err := gctx.Err(); err != nil {
				return err
			}
			h, err := c.s.files.get(c, i, false)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			defer c.s.files.put(h)
			return diskError("sync", c.place.path(i), h.f.Sync())
		})
	}
	for _, dir := range dirs {
		g.Go(func() error {
			err := c.staging.syncDir(dir)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return diskError("sync", filepath.Join(c.staging.root.Name(), dir), err)
		})
	}
	return g.Wait()
}

// directories lists the staging directory and all that a complete tree has below it.
func (c *Content) directories() []string {
	p := c.place.(*tree)
	seen := map[string]bool{".": true}
	var list []string
	add := func(dir string) {
		for ; !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			list = append(list, dir)
		}
	}
	add(c.staging.name)
	for i := range c.t.Files {
		if !c.t.Single() && !c.t.Files[i].Pad {
			add(filepath.Dir(p.below(c.t.Files[i].Path)))
		}
	}
	for _, dir := range c.t.EmptyDirs {
		add(p.below(dir))
	}
	return list
}
