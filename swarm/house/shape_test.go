package house

import (
	"go/ast"
	"path"
	"slices"
	"strings"
)

const (
	maxFile     = 500 // lines
	maxFunction = 80  // lines
	maxMain     = 60  // lines of a command's main.go
)

// docs finds packages that do not say in more than one line what they do.
func docs(files []*file) []finding {
	lines := make(map[string]int)
	first := make(map[string]*file)
	for _, f := range files {
		if f.test {
			continue
		}
		if first[f.dir()] == nil {
			first[f.dir()] = f
		}
		n := 0
		for line := range strings.Lines(f.tree.Doc.Text()) {
			if strings.TrimSpace(line) != "" {
				n++
			}
		}
		lines[f.dir()] = max(lines[f.dir()], n)
	}
	var all []finding
	for dir, f := range first {
		if lines[dir] < 2 {
			all = append(all, f.find(f.tree.Name, "doc", dir, "the doc of package %s has %d lines: say what it does, and how", dir, lines[dir]))
		}
	}
	return all
}

// sizes finds files and functions that are too long.
func sizes(files []*file) []finding {
	var all []finding
	for _, f := range files {
		most := maxFile
		if path.Base(f.path) == "main.go" && strings.HasPrefix(f.path, "cmd/") {
			most = maxMain
		}
		if f.lines > most {
			all = append(all, f.find(f.tree.Name, "size", "file", "%d lines, at most %d", f.lines, most))
		}
		for _, d := range f.tree.Decls {
			ast.Inspect(d, func(n ast.Node) bool {
				name := ""
				switch n := n.(type) {
				case *ast.FuncDecl:
					name = n.Name.Name
				case *ast.FuncLit: // of a variable: others are inside a function that is measured
					name = "func literal"
				default:
					return true
				}
				if lines := f.span(n); lines > maxFunction {
					all = append(all, f.find(n, "size", name, "%s has %d lines, at most %d", name, lines, maxFunction))
				}
				return false
			})
		}
	}
	return all
}

// emptyNames say nothing about what is inside.
var emptyNames = []string{"util", "utils", "misc", "common", "helper", "helpers"}

// fileNames finds files, directories and packages whose name says nothing.
func fileNames(files []*file) []finding {
	var all []finding
	for _, f := range files {
		words := strings.FieldsFunc(strings.TrimSuffix(f.path, ".go"), func(r rune) bool { return strings.ContainsRune("/_-.", r) })
		for _, w := range append(words, f.tree.Name.Name) {
			if slices.Contains(emptyNames, strings.ToLower(w)) {
				all = append(all, f.find(f.tree.Name, "name", w, "%q says nothing: name it after its subject", w))
				break
			}
		}
	}
	return all
}

// sleeps finds time.Sleep in tests, outside of the simulated clock of testing/synctest.
func sleeps(files []*file) []finding {
	var all []finding
	bubbles := bubbleMakers(files)
	for _, f := range files {
		if !f.test {
			continue
		}
		for _, d := range f.tree.Decls {
			name := "a variable"
			if fn, ok := d.(*ast.FuncDecl); ok {
				name = fn.Name.Name
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && inBubble(f, call, bubbles[f.dir()]) {
					return false
				}
				if pkg, sel, ok := f.selected(n); ok && pkg == "time" && sel == "Sleep" {
					all = append(all, f.find(n, "sleep", name, "time.Sleep in %s: wait for the event", name))
				}
				return true
			})
		}
	}
	return all
}

// inBubble says whether a call runs its arguments on the simulated clock.
func inBubble(f *file, call *ast.CallExpr, makers []string) bool {
	if pkg, name, ok := f.selected(call.Fun); ok {
		return pkg == "testing/synctest" && name == "Test"
	}
	id, ok := call.Fun.(*ast.Ident)
	return ok && slices.Contains(makers, id.Name)
}

// bubbleMakers returns, by package, the functions that call synctest.Test.
func bubbleMakers(files []*file) map[string][]string {
	all := make(map[string][]string)
	for _, f := range files {
		for _, d := range f.tree.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !f.test {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && inBubble(f, call, nil) {
					all[f.dir()] = append(all[f.dir()], fn.Name.Name)
				}
				return true
			})
		}
	}
	return all
}
