package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/console"
	"handful/swarm/publish"
)

// expiresSoon is how long before the end of a document its owner is told.
const expiresSoon = 90 * 24 * time.Hour

// printChannels says what each channel here stands on, and what to do next.
func printChannels(a *console.App, l lister) error {
	stateDir, err := a.StateDir()
	if err != nil {
		return err
	}
	ids, names, err := channelsHere(stateDir)
	if err != nil {
		return err
	}
	for _, id := range ids {
		line, err := channelLine(stateDir, id, names[id], a.Env.Now())
		if err != nil {
			a.Out().Print(console.Warning{Message: fmt.Sprintf("channel %s: %v", id, err)})
			continue
		}
		if who, ok := l.Around(id); ok {
			line.Around, line.Others = who.Writers, who.Others
		}
		a.Out().Print(line)
	}
	return nil
}

// channelsHere are the channels with keys, or with documents that wait, on this machine, and
// what they are called.
func channelsHere(stateDir string) (ids []signing.ID, names map[signing.ID]string, err error) {
	for _, dir := range []string{keysDir(stateDir), filepath.Join(stateDir, "next"), filepath.Join(stateDir, "writers")} {
		some, err := keyfile.List(dir)
		if err != nil {
			return nil, nil, err
		}
		ids = append(ids, some...)
	}
	slices.SortFunc(ids, func(a, b signing.ID) int { return strings.Compare(a.String(), b.String()) })
	ids = slices.Compact(ids)
	names = make(map[signing.ID]string)
	files, err := os.ReadDir(filepath.Join(stateDir, "names"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	for _, f := range files {
		if id, err := findChannel(stateDir, f.Name()); err == nil && names[id] == "" {
			names[id] = f.Name()
		}
	}
	return ids, names, nil
}

func channelLine(stateDir string, id signing.ID, name string, now time.Time) (console.Channel, error) {
	c := console.Channel{Channel: id.String(), Name: name, Writer: signing.MainWriter, Here: []string{}, Next: []string{}}
	if name == "" {
		c.Name = id.String()
	}
	b, err := openBookOf(stateDir, id)
	if errors.Is(err, keyfile.ErrNotFound) {
		return guestLine(stateDir, id, c)
	}
	if err != nil {
		return c, err
	}
	c.Here = append(c.Here, b.here()...)
	c.Next = append(c.Next, b.waits(c.Name)...)
	if b.keys == nil {
		c.Title = b.next.root.Title()
		return c, nil
	}
	root := b.keys.Newest()
	role := root.Role(signing.RoleRoot)
	c.Title, c.Root, c.RootNeed, c.RootKeys, c.RootExpires = root.Title(), root.Version(), role.Threshold, len(role.Keys), root.Expires().Format(time.RFC3339)
	if doc := b.keys.Document(); doc != nil {
		c.Targets, c.TargetsExpires, c.Writers = doc.Version(), doc.Expires().Format(time.RFC3339), doc.Writers()
	}
	log, next, err := lookAtLog(logDir(stateDir, id, signing.MainWriter), c.Name)
	if err != nil {
		return c, err
	}
	c.Entries, c.Signed = log.Entries, log.Signed
	c.Next = append(append(c.Next, next...), b.ages(c.Name, now)...)
	return c, nil
}

// lookAtLog tells of a log that cannot go on by itself.
func lookAtLog(dir, name string) (log *publish.Peeked, next []string, err error) {
	if log, err = publish.Peek(dir); err != nil {
		return &publish.Peeked{}, nil, err
	}
	switch {
	case log.Ahead > 0:
		next = append(next, fmt.Sprintf("the network holds a head over %d entries that the log here does not have: seed repair -c %s", log.Ahead, name))
	case log.Unconfirmed:
		next = append(next, "the log was missing: publish while others who have the channel are reachable, or see seed repair -c "+name)
	case log.Signed < log.Entries:
		next = append(next, counted(log.Entries-log.Signed, "entry is not signed yet", "entries are not signed yet")+": seed serve")
	}
	return log, next, nil
}

// guestLine is the line of a channel in which this machine is a delegated writer.
func guestLine(stateDir string, id signing.ID, c console.Channel) (console.Channel, error) {
	g, err := openGuest(stateDir, id)
	if err != nil {
		return c, err
	}
	c.Writer, c.Here = g.name, []string{"writer " + g.name}
	if g.new {
		c.Next = append(c.Next, "once the channel's owner has granted it (seed writer add), publish with -c "+c.Name)
	}
	log, next, err := lookAtLog(logDir(stateDir, id, g.name), c.Name)
	c.Entries, c.Signed = log.Entries, log.Signed
	c.Next = append(c.Next, next...)
	return c, err
}

// counted is a number and what it counts.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// waits tells of documents that lack signatures.
func (b *book) waits(name string) (next []string) {
	if doc := b.next.root; doc != nil {
		own, old := b.lackingRoot()
		text := fmt.Sprintf("version %d of the root document lacks %s of its own keys", doc.Version(), counted(int64(own), "signature", "signatures"))
		if b.keys != nil {
			text += fmt.Sprintf(" and %d of those before", old)
		}
		next = append(next, text+": seed root add -c "+name+" SIGNATURE...")
	}
	if doc := b.next.targets; doc != nil && b.keys != nil {
		lacking := doc.Lacking(b.keys.Newest().Role(signing.RoleTargets))
		next = append(next, fmt.Sprintf("version %d of the targets document lacks %s: seed root add -c %s SIGNATURE...",
			doc.Version(), counted(int64(lacking), "signature", "signatures"), name))
	}
	return next
}

// ages tells of documents that expire, and of keys that are not where they should be.
func (b *book) ages(name string, now time.Time) (next []string) {
	root := b.keys.Newest()
	left := root.Expires().Sub(now)
	switch {
	case left <= 0:
		next = append(next, "the root document has expired, and followers do not install: seed root edit -c "+name+" --renew 1y")
	case left < expiresSoon:
		next = append(next, fmt.Sprintf("the root document expires in %d days: seed root edit -c %s --renew 1y", int(left.Hours()/24), name))
	}
	if doc := b.keys.Document(); doc != nil {
		left := doc.Expires().Sub(now)
		_, err := root.OpenTargets(doc.Bytes())
		switch {
		case err != nil:
			next = append(next, "the targets document is not signed by the keys in force, and nobody else can write: seed writer renew -c "+name)
		case left <= 0:
			next = append(next, "the targets document has expired, and what others write is not confirmed: seed writer renew -c "+name)
		case left < expiresSoon && left > 0 && len(doc.Writers()) > 0:
			next = append(next, fmt.Sprintf("the targets document expires in %d days: seed writer renew -c %s", int(left.Hours()/24), name))
		}
	}
	if b.keys.Online == nil {
		next = append(next, "the key that publishes is not here: seed key import -c "+name+" FILE, or publish where it is")
	}
	if b.keys.Root != nil && len(root.Role(signing.RoleRoot).Keys) == 1 {
		next = append(next, "keep a copy of the keys elsewhere: seed key export -c "+name+" FILE; then move the root key off this machine: seed key offline -c "+name+" FILE")
	}
	return next
}
