package main

import (
	"fmt"
	"slices"

	"handful/signing"
	"handful/swarm/console"
	"handful/swarm/publish"
)

// others returns the logs of other writers, as far as they are here.
func (x *export) others() (all publish.Copies) {
	for _, c := range x.copies {
		if c.Head().Size > 0 {
			all = append(all, c)
		}
	}
	return all
}

// lacking warns of writers of whom nothing is here.
func (x *export) lacking() {
	doc := x.keys.Document()
	if doc == nil {
		return
	}
	for _, name := range doc.Writers() {
		if !slices.ContainsFunc(x.others(), func(c *publish.Copy) bool { return c.Writer() == name }) {
			x.report(console.Warning{Message: fmt.Sprintf("nothing that writer %s has published is here", name), Hint: "run seed serve while somebody who has it is reachable, and export again"})
		}
	}
}

// link is the channel's; of a private one with the read key, which is nowhere in what was
// written.
func (x *export) link() (signing.Link, error) {
	l := signing.Link{ID: x.keys.ID, Index: -1}
	if x.req.URL != "" {
		l.WebSeeds = []string{x.req.URL}
	}
	if !x.keys.Newest().Private() {
		return l, nil
	}
	ring, err := (&sealer{dir: keysDir(x.o.dir), id: x.keys.ID}).ring()
	l.ReadKey = ring.Current().Text()
	return l, err
}
