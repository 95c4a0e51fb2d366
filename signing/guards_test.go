package signing

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A guard is a check that keeps an attack out. Its edits take it out of the sources; then
// each of its rows, a transcript in testdata/attacks or a test, must fail. A row that
// goes on passing would be a test that cannot fail.
//
//	go test -timeout 30m -run TestGuards ./signing -guards
//
// The sources are not touched: the go command is given an overlay. The whole takes some
// minutes, because every guard is a build of its own; without -guards only the table is
// checked.
type guard struct {
	name string
	dir  string // of the package whose tests run, from here
	rows []string
	edit []edit
}

// edit replaces old, which stands exactly once in a file of the package, by new.
type edit struct{ file, old, new string }

var guardsOut = flag.Bool("guards", false, "take out one guard after another, and see whether its attacks succeed")

func one(file, old, new string) []edit { return []edit{{file, old, new}} }

var guards = []guard{
	{"threshold of a head", "", []string{"forged-head", "dup-signature", "wrong-writer", "root-replay", "restart-chain", "dht-poison"}, []edit{
		{"head.go", "if role.Threshold < 1 || len(times) < role.Threshold {", "if role.Threshold < 1 {"},
		{"head.go", "h.Time = time.Unix(times[role.Threshold-1], 0).UTC()", "if len(times) >= role.Threshold {\nh.Time = time.Unix(times[role.Threshold-1], 0).UTC()\n}"}}},
	{"signature of a head", "", []string{"bit-flip"}, one("head.go", "if l.time < 0 || !ed25519.Verify(k.public, cosignMessage(h.Text(), l.time), l.sig) {", "if l.time < 0 {")},
	{"one line by one key", "", []string{"dup-signature"}, one("head.go", "if slices.ContainsFunc(h.lines, func(l headLine) bool { return l.name == line.name && l.hash == line.hash }) {", "if false {")},
	{"origin", "", []string{"other-channel", "other-writer", "wrong-writer"}, one("head.go", "if want := Origin(r.id, writer); h.Origin != want {", "if want := Origin(r.id, writer); want == \"\" {")},
	{"witnesses", "", []string{"witness-required"}, one("head.go", "if len(seen) < r.quorum {", "if false {")},
	{"spelling of a head", "", []string{"malformed/head"}, []edit{
		{"head.go", "if len(lines) != 4 || lines[3] != \"\" {", "if len(lines) < 4 {"}, {"head.go", "if !bytes.Equal(again.Bytes(), raw) {", "if false {"}}},
	{"number of lines", "", []string{"malformed/head"}, one("head.go", "bytes.Count(raw[i+2:], []byte(\"\\n\")) > MaxHeadLines {", "bytes.Count(raw[i+2:], []byte(\"\\n\")) > 1000 {")},
	{"clocks", "", []string{"future-head"}, one("trustedhead.go", "if h.Time.After(now.Add(MaxAhead)) {", "if false {")},

	{"the update rebuilds the tree", "", []string{"forged-entry", "bogus-proof", "bit-flip"}, one("trustedhead.go", "	all := slices.Concat(mine, news)\n	if rootOf(all) != h.Root {", "	all := slices.Concat(mine, news)\n	if false {")},
	{"the range rebuilds the tree", "", []string{"bogus-proof", "fork-at-power-of-two", "forged-entry"}, one("trustedhead.go", "	all := slices.Concat(claimed, news)\n	if rootOf(all) != h.Root {", "	all := slices.Concat(claimed, news)\n	if false {")},
	{"heads alone prove nothing", "", []string{"relay-without-entries"}, one("trustedhead.go", "if alone || !ok {", "if alone && false || !ok {")},
	{"smaller heads", "", []string{"rollback-head", "rollback-after-restart", "dht-poison", "restore-refuses", "rotation-keeps-floor"}, one("trustedhead.go",
		"	return acc, &RollbackError{Writer: writer, Held: w.head.Size, Offered: h.Size}\n}\n\n// contradict",
		"	w.head = h\n	t.writers[writer] = &w\n	acc.Changed = true\n	return acc, nil\n}\n\n// contradict")},
	{"the state has heads", "", []string{"rollback-after-restart", "heartbeat-fresh", "fork-same-size"}, one("trustedread.go", "			t.readWriters(r)\n", "			r.Skip()\n")},
	{"older signatures of the same tree", "", []string{"heartbeat-fresh"}, one("trustedhead.go", "w.stale || h.Time.After(w.head.Time) {", "true {")},
	{"the newest documents confirm", "", []string{"rotation-keeps-floor"}, one("trustedroot.go", "			w.stale = err != nil\n", "			w.stale = err != nil && false\n")},
	{"two trees of one size", "", []string{"fork-same-size", "rotation-keeps-floor"}, one("trustedhead.go", "case h.Size == w.head.Size && h.Root != w.head.Root:", "case false:")},
	{"a longer tree continues", "", []string{"fork-longer"}, one("trustedhead.go", "if w.holds() && rootOf(seen) != w.head.Root {", "if w.holds() && rootOf(seen) != w.head.Root && false {")},
	{"a range that contradicts", "", []string{"fork-longer", "fork-at-power-of-two"}, one("trustedhead.go", "	if rootOf(seen) == w.head.Root {\n", "	if rootOf(seen) == w.head.Root || true {\n")},
	{"a shorter tree is a beginning", "", []string{"fork-smaller", "restore-refuses"}, one("trustedhead.go", "if seen, ok := prefix(w.nodes(), h.Size); ok && rootOf(seen) != h.Root {", "if seen, ok := prefix(w.nodes(), h.Size); ok && false {")},
	{"frozen", "", []string{"fork-same-size"}, []edit{
		{"trustedhead.go", "	case w.fork != nil:\n", "	case false:\n"}, {"trusted.go", "	case w.fork != nil:\n", "	case false:\n"}}},
	{"all sources are held against each other", "", []string{"first-contact"}, one("trustedhead.go", "	for _, o := range offers {\n", "	for _, o := range offers[:min(1, len(offers))] {\n")},
	{"proofs of forks", "", []string{"TestFalseFork"}, one("fork.go", "if rootOf(slices.Concat(seen, rest)) != b.Root || rootOf(seen) == a.Root {", "if len(seen)+len(rest) < 0 {")},

	{"late", "", []string{"freeze-late", "eclipse"}, one("trusted.go", "	case root.MaxAge(writer) > 0 && now.Sub(w.head.Time) > root.MaxAge(writer):", "	case false:")},
	{"expiry", "", []string{"expired-root", "eclipse"}, one("trusted.go", "expired := root != nil && !now.Before(root.expires)", "expired := false")},
	{"expiry of targets", "", []string{"targets-expired"}, one("trusted.go", "t.Wants() != (Need{}) || !now.Before(t.targets.expires)", "t.Wants() != (Need{})")},
	{"install only what is fresh", "", []string{"eclipse", "install-fresh"}, one("standing.go", "case s.State != StateFresh:", "case false:")},
	{"install by several sources", "", []string{"eclipse", "install-fresh"}, one("standing.go", "case s.Sources < need:", "case false:")},

	{"the id", "", []string{"root-flip"}, one("root.go", "	if r.id != id {", "	if false {")},
	{"exactly the next version", "", []string{"root-skip", "root-replay"}, []edit{
		{"root.go", "	case next.version <= r.version:", "	case false:"}, {"root.go", "	case next.version != r.version+1:", "	case false:"}}},
	{"the keys of the version before", "", []string{"root-one-of-two", "root-revoked-plus-one", "root-skip"}, one("root.go", "if err := next.verifiedBy(r.roles[RoleRoot]); err != nil {", "if err := error(nil); err != nil {")},
	{"the keys of the version itself", "", []string{"root-revoked-plus-one"}, one("root.go", "if err := next.verifiedBy(next.roles[RoleRoot]); err != nil {", "if err := error(nil); err != nil {")},
	{"threshold of a document", "", []string{"root-one-of-two"}, one("document.go", "n < role.Threshold {", "n < 1 {")},
	{"one key counts once", "", []string{"TestDupSignature", "dup-key"}, one("document.go", "k.id == s.keyID && !slices.ContainsFunc(counted, k.Equal) && k.verify", "k.id == s.keyID && k.verify")},
	{"the whole chain at the start", "", []string{"restart-chain"}, one("trustedread.go", "for i, raw := range f.roots {", "for i, raw := range f.roots[:min(1, len(f.roots))] {")},
	{"spelling of documents", "", []string{"malformed/root"}, one("canonical.go", "if !bytes.Equal(again, raw) {", "if false {")},
	{"spelling of updates", "", []string{"malformed/update"}, one("update.go", "if r.Err() == nil && (n < 1 || n >= maxExact) {", "if false {")},

	{"a base takes back", "", []string{"fast-forward-recover", "fork-repair", "base-elsewhere", "delegated-base", "restore-refuses", "targets-key-replaced"}, one("trustedroot.go", "known || len(t.writers) < 2*maxWriters {", "known && false {")},
	{"grants of another history", "", []string{"grant-elsewhere"}, one("trustedroot.go", "(t.grant.at > b.Size || next.rangeless)", "(t.grant.at > b.Size)")},
	{"a base is applied once", "", []string{"fast-forward-recover", "delegated-base"}, one("trustedroot.go", "if w.base != nil && *w.base == b {", "if false {")},
	{"the range of a base", "", []string{"base-elsewhere"}, one("trustedroot.go", "	if rootOf(nodes) != w.base.Root {", "	if false {")},
	{"what was withdrawn stays so", "", []string{"fork-repair"}, one("trustedhead.go", "case !w.since.IsZero() && !h.Time.After(w.since):", "case false:")},
	{"old proofs after a repair", "", []string{"fork-repair"}, one("trustedhead.go", "if w := t.writer(writer); !w.since.IsZero() && !(", "if w := t.writer(writer); false && !(")},

	{"granted, not only signed", "", []string{"ungranted", "targets-replay"}, one("trustedgrant.go", "if doc.Hash() != t.grant.hash {", "if false {")},
	{"signed, not only granted", "", []string{"ungranted"}, one("trustedgrant.go", "if err := doc.verifiedBy(t.Root().roles[RoleTargets]); err != nil {", "if err := error(nil); err != nil {")},
	{"versions never fall", "", []string{"targets-replay"}, one("trustedgrant.go", "if g.version < t.grant.version || g.version == t.grant.version && g.hash != t.grant.hash {", "if false {")},
	{"between grant and document", "", []string{"writer-revoked", "grant-missed"}, one("trustedroot.go", "if writer != MainWriter && t.Wants() != (Need{}) {", "if false {")},
	{"closed writers", "", []string{"writer-revoked", "targets-key-replaced"}, one("trustedroot.go", "			w.closed = err != nil\n", "			w.closed = err != nil && false\n")},
	{"paths", "", []string{"writer-revoked"}, one("targets.go", "under && strings.HasPrefix(name, dir) && len(name) > len(dir)", "under && len(dir) >= 0")},
	{"names that leave", "", []string{"writer-revoked"}, one("targets.go", "	if !validPath(name) {\n", "	if false {\n")},
	{"pointers to grants", "", []string{"grant-missed"}, one("trustedgrant.go", "if p.grant < at && p.grant > max(t.grant.at, t.wanted) {", "if false {")},
	{"targets under new keys", "", []string{"targets-key-dropped"}, one("trustedroot.go", "if t.targets != nil && t.targets.verifiedBy(root.roles[RoleTargets]) != nil {", "if false {")},

	{"inclusion", "", []string{"TestProof"}, one("proof.go", "if err := tlog.CheckRecord(path, h.Size, h.Root, p.Index, tlog.RecordHash(p.Entry)); err != nil {", "if err := error(nil); err != nil && path == nil {")},
	{"signed elsewhere", "", []string{"TestAttachForms", "TestOutsideSigners"}, one("outside.go", "if k.verify(r.payload, s.sig) {", "if true {")},
	{"the publisher catches up first", "../swarm/publish", []string{"TestRestoreRefuses"}, one("log.go", "		if err := l.contradicts(h); err != nil {\n			return err\n		}\n	}\n	return nil", "		_ = l.contradicts(h)\n	}\n	return nil")},
	{"evidence under true documents", "", []string{"TestForgedEvidence"}, one("evidence.go", "if !slices.ContainsFunc(t.roots, func(r *Root) bool {", "if len(t.roots) < 0 && !slices.ContainsFunc(t.roots, func(r *Root) bool {")},
	{"about to sign is on disk first", "../swarm/publish", []string{"TestProposedIsKept"}, one("log.go", "	if err := durable.WriteFile(l.fs, l.path(intentFile), []byte(h.Text())); err != nil {", "	if err := error(nil); err != nil {")},
	{"a lost log is unconfirmed", "../swarm/publish", []string{"TestMissingLogIsUnconfirmed"}, one("log.go", "	if l.unconfirmed {", "	if false {")},
	{"what is believed is on disk first", "../swarm/follow", []string{"TestCrash", "TestRollbackAfterRestart"}, one("trust.go", "	err := durable.WriteFile(t.fs, t.path, t.room)", "	err := error(nil)")},
	{"the sum of a trust file", "../swarm/follow", []string{"TestCorrupt"}, one("trust.go", "	if sha256.Sum256(b[:end]) != [32]byte(b[end:]) {", "	if false {")},
	{"one source counts once", "../swarm/follow", []string{"TestPortsAreNoSources"}, one("contact.go", "all[o.source] = true", "all[o.source+string(rune(len(all)+1))] = true")},
	{"a torrent that the entry names", "../swarm/follow", []string{"TestBundleLies"}, one("bundle.go", "m.InfoSum() != *spec.InfoSum || m.InfoHash() != [20]byte(spec.Infohash) {", "m.InfoSum() != *spec.InfoSum && false {")},
	{"a root document that explodes", "../swarm/channel", []string{"TestUnpackRefuses"}, []edit{
		{"item.go", "	case len(raw) > signing.MaxRoot:", "	case false:"}, {"item.go", "io.LimitReader(flate.NewReader(in), signing.MaxRoot+1)", "flate.NewReader(in)"}}},
	{"items of the DHT are signed", "../swarm/discover/mainline", []string{"TestHostileReplies"}, one("item.go", "	if !ed25519.Verify(it.Key[:], SignedBytes(it.Salt, it.Seq, it.Value), it.Sig[:]) {", "	if false {")},
}

// TestGuards takes out one guard after another, if told to; and sees that the table fits
// the sources and names every transcript.
func TestGuards(t *testing.T) {
	covered := map[string]bool{}
	for _, g := range guards {
		for _, row := range g.rows {
			covered[row] = true
		}
		t.Run(strings.ReplaceAll(g.name, " ", "-"), func(t *testing.T) { takeOut(t, g) })
	}
	err := filepath.WalkDir(filepath.Join("testdata", "attacks"), func(path string, d fs.DirEntry, err error) error {
		if row := strings.TrimSuffix(filepath.ToSlash(path)[min(len(path), len("testdata/attacks/")):], ".txtar"); err == nil && !d.IsDir() && !covered[row] {
			t.Errorf("no guard is named whose absence %s would notice", row)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAttackTable holds the table of attacks in doc.go to what there is: each transcript stands
// in it, and each name in it is a transcript, or a test of this package or of the one it names.
func TestAttackTable(t *testing.T) {
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "// # Attacks\n")
	table, _, _ = strings.Cut(table, "// # ")
	rows, named := 0, map[string]bool{}
	for line := range strings.Lines(table) {
		line, ok := strings.CutPrefix(line, "//\t")
		if !ok || len(line) < attackColumn {
			continue
		}
		rows++
		for word := range strings.FieldsFuncSeq(line[attackColumn:], func(c rune) bool { return c == ' ' || c == ',' || c == '\n' }) {
			named[word] = true
			_, err := os.Stat(filepath.Join("testdata", "attacks", filepath.FromSlash(word)+".txtar"))
			if err != nil && !isTest(t, word, line) && !slices.Contains([]string{"and", "the", "fuzzers", "in", "swarm/publish", "swarm/follow"}, word) {
				t.Errorf("%s is neither a transcript nor a test: %s", word, line)
			}
		}
	}
	if rows < 19 { // two of the design's twenty share one: a split view, and a post rewritten
		t.Errorf("the table has %d attacks", rows)
	}
	for _, g := range guards {
		for _, row := range g.rows {
			if !strings.HasPrefix(row, "Test") && !named[row] {
				t.Errorf("%s is in no row of the table in doc.go", row)
			}
		}
	}
}

const attackColumn = len("forged or altered head, entry, root      ")

// isTest reports whether a word is a test of this package, or of the one that the line names.
func isTest(t *testing.T, word, line string) bool {
	t.Helper()
	dir := "."
	if _, pkg, ok := strings.Cut(line, word+" in "); ok {
		dir = filepath.Join("..", filepath.FromSlash(strings.TrimSpace(pkg)))
	}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(path string) bool {
		b, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(b), "\nfunc "+word+"(t *testing.T)")
	})
}

// edited returns the sources that a guard is taken out of.
func (g guard) edited(t *testing.T, dir string) map[string]string {
	t.Helper()
	sources := map[string]string{}
	for _, e := range g.edit {
		if _, ok := sources[e.file]; !ok {
			b, err := os.ReadFile(filepath.Join(dir, e.file))
			if err != nil {
				t.Fatal(err)
			}
			sources[e.file] = string(b)
		}
		if n := strings.Count(sources[e.file], e.old); n != 1 {
			t.Fatalf("%s has %q %d times: bring the table up to date", e.file, e.old, n)
		}
		sources[e.file] = strings.Replace(sources[e.file], e.old, e.new, 1)
	}
	return sources
}

func takeOut(t *testing.T, g guard) {
	dir, err := filepath.Abs(filepath.Join(".", g.dir))
	if err != nil {
		t.Fatal(err)
	}
	sources := g.edited(t, dir)
	if !*guardsOut {
		return
	}
	temp := t.TempDir()
	replace := map[string]string{}
	for file, text := range sources {
		path := filepath.Join(temp, file)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(dir, file)] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(temp, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var tests, attacks []string
	for _, row := range g.rows {
		if strings.HasPrefix(row, "Test") {
			tests = append(tests, "^"+row+"$")
		} else {
			attacks = append(attacks, row)
		}
	}
	if len(attacks) > 0 {
		tests = append(tests, "^TestAttacks$")
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-count=1", "-overlay", overlay, "-run", strings.Join(tests, "|"), "-v", ".")
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput() // it is meant to fail
	text := string(out)
	if strings.Contains(text, "[build failed]") || strings.Contains(text, "[setup failed]") {
		t.Fatalf("it does not build:\n%s", text)
	}
	for _, row := range g.rows {
		name := row
		if slices.Contains(attacks, row) {
			name = "TestAttacks/" + row
		}
		if !strings.Contains(text, "--- FAIL: "+name+" (") {
			t.Errorf("%s passes without this guard", row)
		}
	}
}
