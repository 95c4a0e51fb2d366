package signing

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Explain says in plain words, a sentence a line, what a root document says; and when
// before, the version before, is given, what changes. It is for whoever is asked to sign.
// Lines that begin with "Careful:" are about what is easily overlooked. What others
// wrote into the document is quoted.
func (r *Root) Explain(before *Root) []string {
	if before == nil {
		return r.describe()
	}
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	say("This is version %d of the root document of the channel; the version before is %d.", r.version, before.version)
	if r.version != before.version+1 {
		say("Careful: followers take version %d only directly after version %d.", r.version, r.version-1)
	}
	same := len(out)
	out = append(out, r.roleChanges(before)...)
	if !r.expires.Equal(before.expires) {
		say("It expires at %s instead of %s.", day(r.expires), day(before.expires))
		if r.expires.Before(before.expires) {
			say("Careful: it expires earlier than the version before.")
		}
	}
	if r.title != before.title {
		say("The title changes from %q to %q.", before.title, r.title)
	}
	if !r.dht.Equal(before.dht) {
		say("The key of the channel's items in the DHT changes to %s.", orNone(hex.EncodeToString(r.dht)))
	}
	if r.private != before.private {
		say("The channel becomes %s.", map[bool]string{true: "private: it asks not to be announced in public", false: "public"}[r.private])
	}
	for _, writer := range union(r.maxAge, before.maxAge) {
		if r.maxAge[writer] != before.maxAge[writer] {
			say("The age from which news of writer %s count as late changes from %s to %s.", writer, age(before.maxAge[writer]), age(r.maxAge[writer]))
		}
	}
	if r.witnessText() != before.witnessText() {
		say("%s", r.witnessText())
	}
	for _, writer := range union(r.base, before.base) {
		if b, ok := r.base[writer]; ok && b != before.base[writer] {
			out = append(out, r.baseText(writer, b, before)...)
		}
	}
	if len(out) == same {
		say("Nothing changes but the version.")
	}
	return append(out, r.unknownText()...)
}

func (r *Root) describe() []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	say("This is version %d of the root document of a channel.", r.version)
	if r.version == 1 {
		say("The channel's id is %s, for ever.", r.id)
	}
	say("The title is %q.", r.title)
	say("It expires at %s; after that, new heads are not confirmed.", day(r.expires))
	for _, name := range []string{RoleRoot, RoleTargets, RoleTimestamp} {
		role := r.roles[name]
		say("%s: %d of these %d must sign:", roleText[name], role.Threshold, len(role.Keys))
		for _, k := range role.Keys {
			say("  %s", k)
		}
		if role.Threshold > len(role.Keys) {
			say("Careful: that can never be met.")
		}
	}
	say("The key of the channel's items in the DHT is %s.", orNone(hex.EncodeToString(r.dht)))
	for _, writer := range union(r.maxAge, nil) {
		say("News of writer %s count as late after %s.", writer, age(r.maxAge[writer]))
	}
	if r.private {
		say("The channel is private: it asks not to be announced in public.")
	}
	if len(r.witnesses)+r.quorum > 0 {
		say("%s", r.witnessText())
	}
	for _, writer := range union(r.base, nil) {
		out = append(out, r.baseText(writer, r.base[writer], nil)...)
	}
	return append(out, r.unknownText()...)
}

var roleText = map[string]string{
	RoleRoot:      "Who may replace this document (root)",
	RoleTargets:   "Who may say who else writes (targets)",
	RoleTimestamp: "Who may publish as the main writer (timestamp)",
	RoleSnapshot:  "The role snapshot, which signs nothing here",
}

// roleChanges tells which keys come and go.
func (r *Root) roleChanges(before *Root) (out []string) {
	for _, name := range roleNames {
		role, old := r.roles[name], before.roles[name]
		var lines []string
		for _, k := range old.Keys {
			if !role.has(k) {
				lines = append(lines, "  "+k.String()+" is dropped.")
			}
		}
		dropped := len(lines) > 0
		for _, k := range role.Keys {
			if !old.has(k) {
				lines = append(lines, "  "+k.String()+" is added.")
			}
		}
		if role.Threshold != old.Threshold {
			lines = append(lines, fmt.Sprintf("  %d of %d must sign, instead of %d of %d.", role.Threshold, len(role.Keys), old.Threshold, len(old.Keys)))
		}
		if len(lines) == 0 || name == RoleSnapshot && sameRole(role, r.roles[RoleTimestamp]) {
			continue
		}
		out = append(append(out, roleText[name]+" changes:"), lines...)
		switch {
		case role.Threshold > len(role.Keys):
			out = append(out, "Careful: that can never be met.")
		case name == RoleTimestamp && dropped && r.base[MainWriter] == before.base[MainWriter]:
			out = append(out, "Careful: without a base, what the keys that go have published stays.")
		}
	}
	return out
}

// meets reports whether those who could sign for the role old alone can do so for role.
func meets(old, role Role) bool {
	shared := 0
	for _, k := range role.Keys {
		if old.has(k) {
			shared++
		}
	}
	return shared >= role.Threshold
}

func (r *Root) baseText(writer string, b Base, before *Root) []string {
	out := []string{fmt.Sprintf("The log of writer %s goes back to its first %d entries (root hash %s); followers mark what came after as withdrawn.", writer, b.Size, hex.EncodeToString(b.Root[:]))}
	if before != nil && writer == MainWriter && meets(before.roles[RoleTimestamp], r.roles[RoleTimestamp]) {
		out = append(out, "Careful: the keys that published what is withdrawn can still publish. Strangers cannot tell their heads from new ones; replace the keys too.")
	}
	return out
}

func (r *Root) witnessText() string {
	if len(r.witnesses)+r.quorum == 0 {
		return "Heads need no witnesses."
	}
	text := fmt.Sprintf("Heads need the signatures of %d of these %d witnesses:", r.quorum, len(r.witnesses))
	for _, w := range r.witnesses {
		text += fmt.Sprintf(" %s", w)
	}
	return text
}

// unknownText tells of keys and members that this program does not know.
func (r *Root) unknownText() (out []string) {
	for _, name := range roleNames {
		if n := r.roles[name].unusable; n > 0 {
			out = append(out, fmt.Sprintf("Careful: the role %s has %d more keys, which this program does not know and does not count.", name, n))
		}
	}
	known := []string{"_type", "consistent_snapshot", "expires", "keys", "roles", "spec_version", "version", "x-handful"}
	inside := []string{"base", "dht", "max_age", "private", "title", "witness"}
	x, err := optional[map[string]any](r.signed, "x-handful")
	if err != nil {
		x = nil
	}
	for _, name := range slices.Sorted(maps.Keys(r.signed)) {
		if !slices.Contains(known, name) {
			out = append(out, fmt.Sprintf("Careful: it has the member %q, which this program does not know.", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x)) {
		if !slices.Contains(inside, name) {
			out = append(out, fmt.Sprintf("Careful: it has the member %q in x-handful, which this program does not know.", name))
		}
	}
	return out
}

func union[V any](a, b map[string]V) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func age(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
