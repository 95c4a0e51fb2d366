package house

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

const (
	engineOwner  = "github.com/anacrolix/"
	engineClient = engineOwner + "torrent" // the package that Client is in
)

var (
	// engineUsers are the packages that may use the engine's module and its relatives outside of tests.
	engineUsers = []string{"swarm", "swarm/discover", "swarm/discover/mainline", "bench/rival", "bench/stock", "bench/liar"}
	// clientFiles are the files beside tests that may import the package of the engine's Client.
	clientFiles = []string{"swarm/engine.go", "swarm/item.go", "swarm/link.go", "swarm/mask.go", "bench/stock/main.go", "bench/liar/main.go"}
	// clientMakers are those of them that may know the Client itself. Tests outside of package swarm may, too: there it
	// plays somebody else's client.
	clientMakers = []string{"swarm/engine.go", "bench/stock/main.go", "bench/liar/main.go"}
	clientNames  = []string{"Client", "NewClient", "ClientConfig", "NewDefaultClientConfig"}
)

// engineImports finds uses of the engine outside of the files that wrap it.
func engineImports(files []*file) []finding {
	var all []finding
	for _, f := range files {
		stranger := f.test && f.dir() != "swarm"
		for _, spec := range f.tree.Imports {
			at := strings.Trim(spec.Path.Value, `"`)
			switch {
			case !strings.HasPrefix(at, engineOwner):
			case spec.Name != nil && spec.Name.Name == ".":
				all = append(all, f.find(spec, "engine", at, "dot import of %s hides which types are the engine's", at))
			case at == engineClient && !f.test && !slices.Contains(clientFiles, f.path):
				all = append(all, f.find(spec, "engine", at, "imports the engine's Client; only %s do", strings.Join(clientFiles, ", ")))
			case !f.test && !slices.Contains(engineUsers, f.dir()):
				all = append(all, f.find(spec, "engine", at, "imports %s; only packages %s use the engine", at, strings.Join(engineUsers, ", ")))
			}
		}
		if stranger || slices.Contains(clientMakers, f.path) {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if pkg, name, ok := f.selected(n); ok && pkg == engineClient && slices.Contains(clientNames, name) {
				all = append(all, f.find(n, "engine", name, "uses the engine's %s; only %s do", name, strings.Join(clientMakers, ", ")))
			}
			return true
		})
	}
	return all
}

// engineTypes finds exported signatures with types of the engine.
func engineTypes(files []*file) []finding {
	var all []finding
	aliases := engineAliases(files)
	for _, f := range files {
		if f.test || f.tree.Name.Name == "main" {
			continue
		}
		s := signatures{f: f, aliases: aliases[f.dir()]}
		for _, d := range f.tree.Decls {
			s.declaration(d)
		}
		all = append(all, s.found...)
	}
	return all
}

// engineAliases returns, by package, the names that stand for a type of the engine.
func engineAliases(files []*file) map[string][]string {
	all := make(map[string][]string)
	for _, f := range files {
		for _, d := range f.tree.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				t := spec.(*ast.TypeSpec)
				s := signatures{f: f}
				if s.mentions(t.Type) && t.Assign.IsValid() {
					all[f.dir()] = append(all[f.dir()], t.Name.Name)
				}
			}
		}
	}
	return all
}

// signatures looks through what one file exports.
type signatures struct {
	f       *file
	aliases []string // of the engine's types, in this package
	found   []finding
}

func (s *signatures) add(n ast.Node, name string) {
	s.found = append(s.found, s.f.find(n, "engine", name, "%s shows a type of the engine: give it one of ours", name))
}

// mentions says whether a type of the engine stands in a type expression.
func (s *signatures) mentions(n ast.Node) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if pkg, _, ok := s.f.selected(n); ok {
				found = found || strings.HasPrefix(pkg, engineOwner)
				return false
			}
		case *ast.Ident:
			found = found || slices.Contains(s.aliases, n.Name)
		case *ast.BlockStmt: // what a function does is its own business
			return false
		case *ast.StructType:
			found = found || s.fields(n)
			return false
		}
		return true
	})
	return found
}

// fields says whether an exported or embedded field of a struct has a type of the engine.
func (s *signatures) fields(t *ast.StructType) bool {
	return slices.ContainsFunc(t.Fields.List, func(field *ast.Field) bool {
		shown := len(field.Names) == 0 || slices.ContainsFunc(field.Names, (*ast.Ident).IsExported)
		return shown && s.mentions(field.Type)
	})
}

func (s *signatures) declaration(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) && s.mentions(d.Type) {
			s.add(d, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && s.mentions(spec.Type) {
					s.add(spec, spec.Name.Name)
				}
			case *ast.ValueSpec:
				s.values(spec)
			}
		}
	}
}

// values looks at exported variables and constants; one without a type has that of its value.
func (s *signatures) values(spec *ast.ValueSpec) {
	shown := slices.IndexFunc(spec.Names, (*ast.Ident).IsExported)
	if shown < 0 {
		return
	}
	if spec.Type != nil && s.mentions(spec.Type) ||
		spec.Type == nil && slices.ContainsFunc(spec.Values, func(v ast.Expr) bool { return s.mentions(v) }) {
		s.add(spec, spec.Names[shown].Name)
	}
}

// receiver returns the name of the type that a method belongs to.
func receiver(d *ast.FuncDecl) string {
	var name string
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" { // the first one: type parameters follow
			name = id.Name
		}
		return true
	})
	return name
}
