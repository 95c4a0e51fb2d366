package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"handful/bench/rival"
)

// entrant is a client that takes part, or why it does not.
type entrant struct {
	rival.Client
	version string
	missing error
}

// entrants resolves a comma-separated list of names, or "all", and looks up each. Our own programs are
// built into dir, and more of them, by the names of rival.BuildOptions.Only, for whoever needs them.
func entrants(ctx context.Context, names, dir string, out report, more ...string) ([]entrant, error) {
	all := rival.All(rival.Tools{})
	var known []string
	for _, c := range all {
		known = append(known, c.Name())
	}
	if names == "all" {
		names = strings.Join(known, ",")
	}
	var wanted, build []string
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		if byName(all, name) == nil {
			return nil, fmt.Errorf("%w: no client %q; there are %s", errUsage, name, strings.Join(known, ", "))
		}
		wanted = append(wanted, name)
		switch name {
		case "handful":
			build = append(build, "seed", "fetch")
		case "stock-engine":
			build = append(build, "stock")
		}
	}
	build = append(build, more...)
	if len(build) > 0 {
		out.notef("building %s", strings.Join(build, ", "))
		options := rival.BuildOptions{Only: build}
		if os.Getenv("CGO_ENABLED") == "" { // as it is shipped
			options.Env = []string{"CGO_ENABLED=0"}
		}
		tools, err := rival.Build(ctx, dir, options)
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if err != nil {
			out.notef("%v", err)
		}
		all = rival.All(tools)
	}
	var found []entrant
	for _, name := range wanted {
		c := byName(all, name)
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
