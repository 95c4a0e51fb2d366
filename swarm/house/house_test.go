package house

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the import path of the root.
const module = "handful"

// file is one Go file of the module.
type file struct {
	path  string // slash-separated, below the root
	test  bool
	lines int
	tree  *ast.File
	fset  *token.FileSet
	names map[string]string // name in this file → path of the import
}

// dir is the directory and, below the module's path, the import path.
func (f *file) dir() string { return path.Dir(f.path) }

func (f *file) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

// span is the number of lines from the first to the last of n.
func (f *file) span(n ast.Node) int { return f.fset.Position(n.End()).Line - f.line(n) + 1 }

// find makes a finding at n.
func (f *file) find(n ast.Node, rule, subject, format string, args ...any) finding {
	return finding{path: f.path, line: f.line(n), rule: rule, subject: subject, text: fmt.Sprintf(format, args...)}
}

// selected returns the import path and the name of NAME.Sel where NAME is an import of f.
func (f *file) selected(n ast.Node) (pkg, name string, ok bool) {
	s, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", "", false
	}
	x, ok := s.X.(*ast.Ident)
	if !ok || x.Obj != nil { // resolved in this file: a variable, not an import
		return "", "", false
	}
	pkg, ok = f.names[x.Name]
	return pkg, s.Sel.Name, ok
}

// finding is one place where a rule does not hold.
type finding struct {
	path    string
	line    int
	rule    string
	subject string // what of the file it is about, for the table of exceptions: a function, an import
	text    string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s: %s", f.path, f.line, f.rule, f.text) }

// parse reads the source of one file.
func parse(name string, src []byte) (*file, error) {
	f := &file{path: name, test: strings.HasSuffix(name, "_test.go"), lines: bytes.Count(src, []byte("\n")), fset: token.NewFileSet()}
	var err error
	if f.tree, err = parser.ParseFile(f.fset, name, src, parser.ParseComments); err != nil {
		return nil, err
	}
	f.names = make(map[string]string)
	for _, spec := range f.tree.Imports {
		at, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		if spec.Name != nil {
			f.names[spec.Name.Name] = at
			continue
		}
		f.names[packageName(at)] = at
	}
	return f, nil
}

// packageName guesses the name of a package from its path: the last element that is not a major version.
func packageName(at string) string {
	base := path.Base(at)
	if major, ok := strings.CutPrefix(base, "v"); ok && path.Dir(at) != "." {
		if _, err := strconv.Atoi(major); err == nil {
			base = path.Base(path.Dir(at))
		}
	}
	return base
}

// load reads all Go files below root that belong to its module.
func load(t *testing.T, root string) []*file {
	t.Helper()
	var all []*file
	err := filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enter(root, at, d.Name())
		}
		if !strings.HasSuffix(d.Name(), ".go") {
			return nil
		}
		src, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, at)
		if err != nil {
			return err
		}
		f, err := parse(filepath.ToSlash(rel), src)
		if err != nil {
			return err
		}
		if !ast.IsGenerated(f.tree) {
			all = append(all, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// enter returns fs.SkipDir for directories that hold no package of the module.
func enter(root, at, name string) error {
	if at == root {
		return nil
	}
	if name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
		return fs.SkipDir // a module of its own
	}
	return nil
}

// rules are all of them; each looks at the whole module.
var rules = []func([]*file) []finding{layers, pure, engineImports, engineTypes, docs, sizes, fileNames, sleeps}

// exception is a place where a rule need not hold.
type exception struct{ rule, path, subject, reason string }

var exceptions = []exception{
	{"layers", "swarm/discover/announcer_real_test.go", "swarm/tracker", "the tracker client is tested against our own tracker; the package itself does not know it"},
	{"layers", "signing/durable/durable_test.go", "signing/durable/crashfs", "crashfs is the file system that the tests of durable crash"},
	{"sleep", "swarm/discover/announcer_real_test.go", "settled", "polls the state of a tracker over real sockets, which no event tells of, until a deadline"},
	{"sleep", "swarm/discover/lsd_test.go", "waitFor", "polls a counter, which no event tells of, until a deadline"},
}

// TestHouse holds the module against the rules.
func TestHouse(t *testing.T) {
	root := filepath.Join("..", "..")
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil || !bytes.HasPrefix(mod, []byte("module "+module+"\n")) {
		t.Fatalf("%s is not the root of module %s: %v", root, module, err)
	}
	files := load(t, root)
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	used := make([]bool, len(exceptions))
	for _, f := range check(files) {
		i := slices.IndexFunc(exceptions, func(e exception) bool {
			return e.rule == f.rule && e.path == f.path && e.subject == f.subject
		})
		if i < 0 {
			t.Error(f)
			continue
		}
		used[i] = true
	}
	for i, e := range exceptions {
		if !used[i] {
			t.Errorf("%s: the exception from %q for %s is not needed any more: remove it", e.path, e.rule, e.subject)
		}
	}
}

// check returns what all rules find, by place.
func check(files []*file) []finding {
	var all []finding
	for _, rule := range rules {
		all = append(all, rule(files)...)
	}
	slices.SortFunc(all, func(a, b finding) int { return cmp.Or(cmp.Compare(a.path, b.path), a.line-b.line) })
	return all
}
