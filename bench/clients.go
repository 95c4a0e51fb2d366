package main

import (
	"context"
	"fmt"
	"strings"

	"handful/bench/rival"
)

// entrant is a client that takes part, or why it does not.
type entrant struct {
	rival.Client
	version string
	missing error
}

// entrants resolves a comma-separated list of names, or "all", and looks up each. Our own programs are built into dir.
func entrants(ctx context.Context, names, dir string, out report) ([]entrant, error) {
	out.notef("building")
	tools, err := rival.Build(ctx, dir)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		out.notef("%v", err)
	}
	all := rival.All(tools)
	var known []string
	for _, c := range all {
		known = append(known, c.Name())
	}
	if names == "all" {
		names = strings.Join(known, ",")
	}
	var found []entrant
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		c := byName(all, name)
		if c == nil {
			return nil, fmt.Errorf("%w: no client %q; there are %s", errUsage, name, strings.Join(known, ", "))
		}
		version, err := c.Find(ctx)
		found = append(found, entrant{Client: c, version: version, missing: err})
	}
	return found, nil
}

func byName(all []rival.Client, name string) rival.Client {
	for _, c := range all {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// title is how it stands in tables.
func (e entrant) title() string {
	if e.version == "" {
		return e.Name()
	}
	return e.Name() + " " + e.version
}
