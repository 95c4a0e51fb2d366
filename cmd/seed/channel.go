package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/console"
)

// defaultChannel is the channel of who names none.
const defaultChannel = "default"

// The names of a publisher's channels are theirs alone; followers know the id.
//
//	STATE/keys/<id>/…          the keys (package keyfile)
//	STATE/names/<name>         one line: the id
func keysDir(stateDir string) string { return filepath.Join(stateDir, "keys") }

func checkChannelName(name string) error {
	if _, err := signing.ParseID(name); err == nil {
		return nil
	}
	if signing.ValidWriter(name) {
		return nil // the same alphabet: a-z, 0-9, dot, dash, underscore, at most 32
	}
	return console.Usagef("use 1 to 32 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit; or the channel's id", "%q is no name of a channel", name)
}

// findChannel returns the id that -c means: itself an id, a name, or the only
// channel there is when the default one was not named.
// Its error is keyfile.ErrNotFound when there is none.
func findChannel(stateDir, name string) (signing.ID, error) {
	if id, err := signing.ParseID(name); err == nil {
		return id, nil
	}
	b, err := os.ReadFile(filepath.Join(stateDir, "names", name))
	if errors.Is(err, fs.ErrNotExist) {
		if ids, err := keyfile.List(keysDir(stateDir)); err == nil && len(ids) == 1 && name == defaultChannel {
			return ids[0], nil
		}
		return signing.ID{}, noChannel(stateDir, name)
	}
	if err != nil {
		return signing.ID{}, err
	}
	id, err := signing.ParseID(strings.TrimSpace(string(b)))
	if err != nil {
		return id, &console.Fault{Code: console.Failed, Message: fmt.Sprintf("the name of channel %q in %s is damaged", name, stateDir),
			Hint: "name it anew with `seed key import`, or remove that file", Err: err}
	}
	return id, nil
}

// noChannel says which channels there are beside one that is missed.
func noChannel(stateDir, name string) error {
	err := fmt.Errorf("channel %q: %w", name, keyfile.ErrNotFound)
	files, _ := os.ReadDir(filepath.Join(stateDir, "names"))
	var names []string
	for _, f := range files[:min(len(files), 10)] {
		names = append(names, f.Name())
	}
	if len(names) == 0 {
		return err
	}
	return &console.Fault{Code: console.NotFound, Err: err, Hint: "name one that is here with -c: " + strings.Join(names, ", ")}
}

// nameChannel remembers a name. A name that means another channel is refused.
func nameChannel(stateDir, name string, id signing.ID) error {
	if _, err := signing.ParseID(name); err == nil {
		return nil
	}
	dir := filepath.Join(stateDir, "names")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) != id.String() {
		return &console.Fault{Code: console.NoSpace, Message: fmt.Sprintf("%q already names channel %s", name, strings.TrimSpace(string(b))), Hint: "give it another name with -c"}
	}
	f, err := os.CreateTemp(dir, ".name-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(id.String() + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
