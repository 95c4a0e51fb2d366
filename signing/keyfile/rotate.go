package keyfile

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"handful/signing"
	"handful/signing/durable"
)

const nextKey = ".next" // ends the name of a key that waits for the root document which names it

// held is a private key in a file.
type held struct {
	name string // one of pemNames
	next bool   // it stands in NAME.next
	key  ed25519.PrivateKey
}

func pemNames() []string { return []string{rootPEM, onlinePEM, targetsPEM, dhtPEM} }

// readKeys reads the private keys of a channel's directory, those that wait first.
func readKeys(sub string) (all []held, err error) {
	for _, next := range []bool{true, false} {
		for _, name := range pemNames() {
			file := name
			if next {
				file += nextKey
			}
			p, err := readKey(filepath.Join(sub, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			all = append(all, held{name, next, p})
		}
	}
	return all, nil
}

// settled takes those of the keys that the newest root document names. A key that it
// does not name, in its place, is an error, unless [Keys.Next] was interrupted: then one of
// NAME and NAME.next fits, or NAME fits the document before, and the other is passed over.
func settled(id signing.ID, docs [][]byte, keys []held) (*Keys, error) {
	roots, err := verifyChain(id, docs)
	if err != nil {
		return nil, err
	}
	newest := roots[len(roots)-1]
	var private []ed25519.PrivateKey
	done := map[string]bool{}
	for _, h := range keys {
		twin := slices.ContainsFunc(keys, func(o held) bool { return o.name == h.name && o.next != h.next })
		switch {
		case done[h.name]:
		case placeOf(newest, h.key) == h.name:
			private = append(private, h.key)
			done[h.name] = true
		case h.next, twin, slices.ContainsFunc(roots, func(r *signing.Root) bool { return placeOf(r, h.key) == h.name }):
		default:
			return nil, fmt.Errorf("%w: %s is not the key that the root document of version %d names", ErrDamaged, h.name, newest.Version())
		}
	}
	return newKeys(id, docs, private)
}

// verifyChain verifies a chain of root documents.
func verifyChain(id signing.ID, docs [][]byte) (roots []*signing.Root, err error) {
	for i, raw := range docs {
		var r *signing.Root
		if i == 0 {
			r, err = signing.FirstRoot(id, raw)
		} else {
			r, err = roots[i-1].Next(raw)
		}
		if err != nil {
			return nil, err
		}
		roots = append(roots, r)
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("%w: no root document", ErrDamaged)
	}
	return roots, nil
}

// has reports whether a root document gives a role to a key.
func has(r *signing.Root, role string, p ed25519.PrivateKey) bool {
	return slices.ContainsFunc(r.Role(role).Keys, func(key signing.Key) bool { return key.Ed25519().Equal(public(p)) })
}

// placeOf returns the name of the file for a key, by the role that it has; "" if it has
// none.
func placeOf(r *signing.Root, p ed25519.PrivateKey) string {
	switch {
	case has(r, signing.RoleTimestamp, p):
		return onlinePEM
	case has(r, signing.RoleRoot, p):
		return rootPEM
	case has(r, signing.RoleTargets, p):
		return targetsPEM
	case r.DHTKey().Equal(public(p)):
		return dhtPEM
	}
	return ""
}

// Next puts the next root document of the channel, which must be signed as it needs to
// be, into its directory in dir, with the private keys that it names and that were not
// there before. Keys that it does not name any more are removed, once the document is
// there: make an export first, if they are to be kept.
func (k *Keys) Next(dir string, raw []byte, private ...ed25519.PrivateKey) (*Keys, error) {
	root, err := k.Newest().Next(raw)
	if err != nil {
		return nil, fmt.Errorf("next root document of channel %s: %w", k.ID, err)
	}
	sub := filepath.Join(dir, k.ID.String())
	if err := tidy(sub, k.Newest()); err != nil {
		return nil, fmt.Errorf("next root document of channel %s: %w", k.ID, err)
	}
	places := map[string]ed25519.PrivateKey{}
	for _, p := range append(append([]ed25519.PrivateKey{}, private...), k.Root, k.Online, k.Targets, k.DHT) {
		if p == nil {
			continue
		}
		place := placeOf(root, p)
		if place != "" && places[place] == nil {
			places[place] = p
		} else if place == "" && slices.ContainsFunc(private, func(n ed25519.PrivateKey) bool { return n.Equal(p) }) {
			return nil, fmt.Errorf("next root document of channel %s: it does not name a key that was given", k.ID)
		}
	}
	var docs [][]byte
	for _, r := range k.Roots {
		docs = append(docs, r.Bytes())
	}
	var all []ed25519.PrivateKey
	for _, name := range pemNames() {
		if places[name] != nil {
			all = append(all, places[name])
		}
	}
	next, err := newKeys(k.ID, append(docs, raw), all)
	if err != nil {
		return nil, fmt.Errorf("next root document of channel %s: %w", k.ID, err)
	}
	if err := writeNext(sub, root, places); err != nil {
		return nil, fmt.Errorf("next root document of channel %s: %w", k.ID, err)
	}
	next.Documents, next.New = k.Documents, k.New
	return next, nil
}

// writeNext writes keys that wait, then the document, then tidies up.
func writeNext(sub string, root *signing.Root, places map[string]ed25519.PrivateKey) error {
	for _, name := range pemNames() {
		if places[name] == nil {
			continue
		}
		text, err := encodeKey(places[name])
		if err != nil {
			return err
		}
		if err := durable.WriteFile(durable.OS{}, filepath.Join(sub, name+nextKey), text); err != nil {
			return err
		}
	}
	if err := durable.WriteFile(durable.OS{}, filepath.Join(sub, rootName(int(root.Version()))), root.Bytes()); err != nil {
		return err
	}
	return tidy(sub, root)
}

// tidy ends what an interrupted Next left: keys that wait and fit the newest document
// take their place; keys that wait for a document which never came, and keys that the
// newest does not name, are removed.
func tidy(sub string, newest *signing.Root) error {
	keys, err := readKeys(sub)
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, h := range keys {
		path := filepath.Join(sub, h.name)
		fits := placeOf(newest, h.key) == h.name
		switch {
		case h.next && fits:
			err = os.Rename(path+nextKey, path)
			taken[h.name] = true
		case h.next:
			err = os.Remove(path + nextKey)
		case !fits && !taken[h.name]:
			err = os.Remove(path)
		}
		if err != nil {
			return fmt.Errorf("tidy up keys: %w", err)
		}
	}
	return (durable.OS{}).SyncDir(sub)
}
