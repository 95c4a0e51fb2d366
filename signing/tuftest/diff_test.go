package tuftest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"handful/signing"
)

// cases is how many chains are judged; each has two root documents and a targets
// document.
const cases = 10_500

// theirs is a channel as go-tuf sees it.
type theirs struct {
	root *metadata.Metadata[metadata.RootType]
}

// caught runs a step of go-tuf, which panics on some documents.
func caught(step func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return step()
}

// update follows the specification of TUF, section 5.3: version N+1, signed by the
// roles of N and of N+1.
func (c *theirs) update(raw []byte) error {
	return caught(func() error {
		next, err := metadata.Root().FromBytes(raw)
		if err != nil {
			return err
		}
		want := int64(1)
		if c.root != nil {
			want = c.root.Signed.Version + 1
			if err := c.root.VerifyDelegate("root", next); err != nil {
				return err
			}
		}
		if next.Signed.Version != want {
			return fmt.Errorf("version %d, want %d", next.Signed.Version, want)
		}
		if err := next.VerifyDelegate("root", next); err != nil {
			return err
		}
		c.root = next
		return nil
	})
}

func (c *theirs) targets(raw []byte) (doc *metadata.Metadata[metadata.TargetsType], err error) {
	err = caught(func() error {
		if doc, err = metadata.Targets().FromBytes(raw); err != nil {
			return err
		}
		return c.root.VerifyDelegate("targets", doc)
	})
	return doc, err
}

// ours is the same channel as Handful sees it.
type ours struct{ root *signing.Root }

func (c *ours) update(raw []byte) error {
	var next *signing.Root
	var err error
	if c.root == nil {
		parsed, perr := signing.ParseRoot(raw)
		if perr != nil {
			return perr
		}
		next, err = signing.FirstRoot(parsed.ID(), raw)
	} else {
		next, err = c.root.Next(raw)
	}
	if err == nil {
		c.root = next
	}
	return err
}

// tally counts how often a class, or an agreement, was met.
type tally map[string]int

// judge compares the verdicts on a document, of which above says who signs it, and reports whether both accept it.
func (n tally) judge(t *testing.T, kind, raw, above string, mine, yours error) bool {
	t.Helper()
	switch {
	case mine == nil && yours == nil:
		n[kind+" accepted by both"]++
		return true
	case mine != nil && yours != nil:
		n[kind+" refused by both"]++
		return false
	}
	for _, c := range classes {
		if c.strict == (mine != nil) && c.is(kind, raw, above) {
			n[c.name]++
			return false
		}
	}
	t.Errorf("%s: unexplained:\n  Handful: %v\n  go-tuf: %v\n  %s", kind, mine, yours, raw)
	return false
}

func TestAgainstGoTUF(t *testing.T) {
	all, ms, n := keys(), mutations(), tally{}
	var mu sync.Mutex
	var workers sync.WaitGroup
	const share = 500
	for first := 0; first < cases; first += share {
		workers.Go(func() {
			own := tally{}
			for i := first; i < first+share && !t.Failed(); i++ {
				chain(t, rand.New(rand.NewPCG(7, uint64(i))), all, ms, own)
			}
			mu.Lock()
			defer mu.Unlock()
			for name, count := range own {
				n[name] += count
			}
		})
	}
	workers.Wait()
	for name, count := range n {
		t.Logf("%6d %s", count, name)
	}
	for _, c := range classes {
		if n[c.name] == 0 {
			t.Errorf("class %q was never met: it explains nothing", c.name)
		}
	}
	for _, kind := range []string{"root", "targets"} {
		if a, b := n[kind+" accepted by both"], n[kind+" refused by both"]; a < 1_500 || b < 1_000 {
			t.Errorf("%s: %d accepted, %d refused by both: the chains say little", kind, a, b)
		}
	}
}

// chain makes and judges one chain of documents.
func chain(t *testing.T, r *rand.Rand, all []key, ms []mutation, n tally) {
	var mine ours
	var yours theirs
	var before role
	var targets role
	above := ""
	spoil := r.IntN(4) // which of the documents has a defect; 3: none
	for version := 1; version <= 2; version++ {
		now := randomRole(r, all, 4)
		if version == 2 && r.IntN(2) == 0 { // a part of the keys stays
			now.keys = append(now.keys[:0:0], before.keys...)
			now.threshold = before.threshold
		}
		targets = randomRole(r, all, 3)
		d := rootDraft(r, all, version, now, targets)
		d.signers = signers(r, all, now.keys, before.keys)
		raw := spoiled(r, all, d, defects(r, ms, spoil == version-1))
		if !n.judge(t, "root", raw, above, mine.update([]byte(raw)), yours.update([]byte(raw))) {
			return
		}
		before, above = now, raw
	}
	writer := randomRole(r, all[:6], 3)
	d := targetsDraft(r, all, writer)
	d.signers = signers(r, all, targets.keys, nil)
	raw := spoiled(r, all, d, defects(r, ms, spoil == 2))
	doc, yourErr := yours.targets([]byte(raw))
	granted, myErr := mine.root.OpenTargets([]byte(raw))
	if n.judge(t, "targets", raw, above, myErr, yourErr) {
		delegation(t, r, mine.root, granted, doc, writer, n)
	}
}

func defects(r *rand.Rand, ms []mutation, wanted bool) (out []mutation) {
	if !wanted {
		return nil
	}
	for range 1 + r.IntN(2) {
		out = append(out, ms[r.IntN(len(ms))])
	}
	return out
}

// signers are mostly those who must sign, sometimes too few or others.
func signers(r *rand.Rand, all []key, roles ...[]key) (out []key) {
	seen := map[string]bool{}
	add := func(k key) {
		if !seen[k.id] {
			seen[k.id] = true
			out = append(out, k)
		}
	}
	for _, ks := range roles {
		for _, k := range ks {
			if r.IntN(8) > 0 {
				add(k)
			}
		}
	}
	if r.IntN(6) == 0 {
		add(all[r.IntN(len(all))])
	}
	return out
}

// delegation lets the same keys sign for a delegated writer: in TUF a targets document
// of the role, here a head.
func delegation(t *testing.T, r *rand.Rand, root *signing.Root, mine *signing.Targets, yours *metadata.Metadata[metadata.TargetsType], writer role, n tally) {
	names := mine.Writers()
	if len(names) != 1 {
		return
	}
	d := &draft{signers: signers(r, writer.keys, writer.keys), signed: obj{
		"_type": "targets", "expires": "2030-01-01T00:00:00Z", "spec_version": "1.0.31", "version": 1, "targets": obj{}}}
	yourErr := caught(func() error {
		doc, err := metadata.Targets().FromBytes([]byte(spell(d.document())))
		if err != nil {
			return err
		}
		return yours.VerifyDelegate(names[0], doc)
	})
	myErr := errors.New("no signer")
	if len(d.signers) > 0 {
		_, myErr = root.OpenDelegated(mine, names[0], head(t, root.ID(), names[0], d.signers))
	}
	if (myErr == nil) != (yourErr == nil) {
		// As for documents: see the classes about keys that do not count.
		if unusable("targets", string(mine.Bytes())) {
			n["delegation: a key that does not count"]++
			return
		}
		t.Errorf("delegation to %s: Handful: %v, go-tuf: %v\n%s", names[0], myErr, yourErr, mine.Bytes())
		return
	}
	n[fmt.Sprintf("delegation agreed, good: %v", myErr == nil)]++
}

// head is a head of a writer over no entries with a line by each signer.
func head(t *testing.T, id signing.ID, writer string, by []key) []byte {
	t.Helper()
	var out []byte
	for _, k := range by {
		raw, err := signing.SignHead(id, writer, 0, emptyRoot, k.signer, when)
		if err != nil {
			t.Fatal(err)
		}
		if out == nil {
			out = raw
			continue
		}
		out = append(out, lastLine(raw)...)
	}
	return out
}
