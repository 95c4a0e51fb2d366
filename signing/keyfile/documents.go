package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"handful/signing"
	"handful/signing/durable"
)

func targetsName(version int64) string { return strconv.FormatInt(version, 10) + ".targets.json" }

// readDocuments reads the targets documents of a channel's directory, and whether its keys
// were used.
func (k *Keys) readDocuments(sub string) error {
	names, err := os.ReadDir(sub)
	if err != nil {
		return err
	}
	for _, n := range names {
		number, ok := strings.CutSuffix(n.Name(), ".targets.json")
		version, err := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil || targetsName(version) != n.Name() {
			k.New = k.New || n.Name() == newMark
			continue
		}
		raw, err := durable.ReadFile(durable.OS{}, filepath.Join(sub, n.Name()), signing.MaxTargets)
		if err != nil {
			return err
		}
		doc, err := signing.ParseTargets(raw)
		if err != nil || doc.Version() != version {
			return fmt.Errorf("%s: %w: it is not the targets document of version %d", n.Name(), ErrDamaged, version)
		}
		k.Documents = append(k.Documents, doc)
	}
	slices.SortFunc(k.Documents, func(a, b *signing.Targets) int { return int(min(max(a.Version()-b.Version(), -1), 1)) })
	return nil
}

// Grant keeps a targets document, which the targets role of the newest root document has
// signed and whose version is above those before. It is in force once an entry of the main
// writer says so.
func (k *Keys) Grant(dir string, raw []byte) (*Keys, error) {
	doc, err := k.Newest().OpenTargets(raw)
	if err != nil {
		return nil, fmt.Errorf("grant in channel %s: %w", k.ID, err)
	}
	if old := k.Document(); old != nil && doc.Version() <= old.Version() {
		return nil, fmt.Errorf("grant in channel %s: version %d after version %d: %w", k.ID, doc.Version(), old.Version(), signing.ErrRollback)
	}
	path := filepath.Join(dir, k.ID.String(), targetsName(doc.Version()))
	if err := durable.WriteFile(durable.OS{}, path, doc.Bytes()); err != nil {
		return nil, fmt.Errorf("grant in channel %s: %w", k.ID, err)
	}
	next := *k
	next.Documents = append(slices.Clone(k.Documents), doc)
	return &next, nil
}

// Used notes that the channel has a log now: should that be missing later, it was lost.
func (k *Keys) Used(dir string) (*Keys, error) {
	if !k.New {
		return k, nil
	}
	sub := filepath.Join(dir, k.ID.String())
	if err := os.Remove(filepath.Join(sub, newMark)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("channel %s: %w", k.ID, err)
	}
	next := *k
	next.New = false
	return &next, durable.OS{}.SyncDir(sub)
}

// WithoutRoot removes root.pem from the channel's directory in dir: it is kept elsewhere,
// which the caller has made sure of.
func (k *Keys) WithoutRoot(dir string) (*Keys, error) {
	sub := filepath.Join(dir, k.ID.String())
	if err := os.Remove(filepath.Join(sub, rootPEM)); err != nil {
		return nil, fmt.Errorf("channel %s: remove the root key: %w", k.ID, err)
	}
	next := *k
	next.Root = nil
	return &next, durable.OS{}.SyncDir(sub)
}
