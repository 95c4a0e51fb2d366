package house

import (
	"go/ast"
	"slices"
	"strings"
)

// floors are the packages of the module from the ground up. A package imports those of lower floors only, and of these,
// where known has an entry, only the ones that stand there.
var floors = [][]string{
	{"manifest/bencode", "swarm/policy", "signing/durable", "swarm/house"},
	{"manifest", "signing", "signing/durable/crashfs", "swarm/simtest"},
	{"swarm/discover", "swarm/discover/mainline", "swarm/tracker", "swarm/store", "signing/keyfile", "swarm/install", "swarm/feed", "swarm/mirror", "swarm/bundle"},
	{"swarm"},
	{"swarm/channel"},
	{"swarm/publish", "swarm/follow", "swarm/stream"},
	{"swarm/dash", "swarm/console"},
	{"bench/netns"},
	{"bench/rival"},
	{"bench", "bench/stock", "bench/liar", "cmd/seed", "cmd/fetch"},
}

// known are the packages that know less than their floor allows.
var known = map[string][]string{
	"manifest":                {"manifest/bencode"},
	"signing":                 {"manifest/bencode"},
	"signing/durable/crashfs": {"signing/durable"},
	"swarm/simtest":           {"swarm/policy"},
	"swarm/feed":              {"manifest", "signing", "signing/durable", "signing/durable/crashfs"},
	"swarm/mirror":            {"manifest", "manifest/bencode", "signing"},
	"swarm/bundle":            {"manifest", "manifest/bencode", "signing"},
	"bench/netns":             {},
	"bench/rival":             {"bench/netns"},
	"bench/stock":             {},
	"bench/liar":              {},
}

// floor returns the floor of a package, -1 if there is no such package.
func floor(pkg string) int {
	return slices.IndexFunc(floors, func(f []string) bool { return slices.Contains(f, pkg) })
}

// layers finds imports that do not point downwards.
func layers(files []*file) []finding {
	var all []finding
	for _, f := range files {
		here, at := f.dir(), floor(f.dir())
		if at < 0 {
			all = append(all, f.find(f.tree.Name, "layers", here, "package %s is on no floor: say in floors who may import it", here))
			continue
		}
		for _, spec := range f.tree.Imports {
			there, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module+"/")
			if !ours || f.test && there == here { // an external test of the package itself
				continue
			}
			if why := barred(f, here, there, at); why != "" {
				all = append(all, f.find(spec, "layers", there, "%s imports %s: %s", here, there, why))
			}
		}
	}
	return all
}

// barred says why the file of package here, on floor at, may not import there; "" = it may.
func barred(f *file, here, there string, at int) string {
	list, listed := known[here]
	switch {
	case strings.HasPrefix(here, "cmd/") && strings.HasPrefix(there, "bench/") && !f.test:
		return "bench measures the commands, they do not know it"
	case floor(there) < 0:
		return "it is on no floor"
	case floor(there) == at:
		return "they are on one floor and do not know each other"
	case floor(there) > at:
		return "it is on a higher floor"
	case listed && !slices.Contains(list, there):
		return "it may know only [" + strings.Join(list, " ") + "]"
	}
	return ""
}

// purePackages have no clock, randomness, log or network. What they need is passed in.
var purePackages = []string{"manifest", "manifest/bencode", "signing", "swarm/policy"}

// readers are the only files of pure packages that may touch the file system: those of manifest.Build.
var readers = []string{"manifest/scan.go", "manifest/hash.go", "manifest/stat_unix.go", "manifest/stat_other.go"}

var (
	// impure are packages that a pure one never imports.
	impure = []string{"crypto/rand", "log", "log/slog", "net/http", "os/exec", "os/signal"}
	// onDisk are those that only readers import.
	onDisk = []string{"os", "io/ioutil", "syscall", "golang.org/x/sys/unix", "golang.org/x/sys/windows"}
	// clocks are what needs the machine's clock in package time.
	clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}
	// seeded is what is allowed of math/rand: types and sources that somebody else seeds.
	seeded = []string{"Rand", "Source", "New", "NewPCG", "NewChaCha8", "PCG", "ChaCha8"}
	// addresses is what is allowed of package net: it only takes strings apart.
	addresses = []string{"JoinHostPort", "SplitHostPort", "ParseIP", "IP"}
)

// pure finds what makes a pure package depend on the machine that it runs on.
func pure(files []*file) []finding {
	var all []finding
	for _, f := range files {
		if f.test || !slices.Contains(purePackages, f.dir()) {
			continue
		}
		for _, spec := range f.tree.Imports {
			at := strings.Trim(spec.Path.Value, `"`)
			if slices.Contains(impure, at) || slices.Contains(onDisk, at) && !slices.Contains(readers, f.path) {
				all = append(all, f.find(spec, "pure", at, "%s imports %s: what it needs of the world is passed in", f.dir(), at))
			}
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			pkg, name, ok := f.selected(n)
			if ok && (pkg == "time" && slices.Contains(clocks, name) ||
				strings.HasPrefix(pkg, "math/rand") && !slices.Contains(seeded, name) ||
				pkg == "net" && !slices.Contains(addresses, name)) {
				all = append(all, f.find(n, "pure", pkg+"."+name, "%s uses %s.%s: pass in what it is to use", f.dir(), pkg, name))
			}
			return true
		})
	}
	return all
}
