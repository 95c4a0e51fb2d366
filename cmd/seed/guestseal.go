package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"filippo.io/age"

	"handful/manifest"
	"handful/manifest/seal"
	"handful/signing"
	"handful/signing/durable"
	"handful/signing/keyfile"
	"handful/swarm/console"
	"handful/swarm/publish"
)

// A delegated writer of a private channel has, beside what [guest] names:
//
//	STATE/writers/<id>/read.keys    read keys of the channel; a thief can read it
//	STATE/writers/<id>/reader.key   opens the read keys that the channel's owner sends later

func (g *guest) readerPath() string { return filepath.Join(g.dir, "reader.key") }

// private reports whether the channel is known to be private.
func (g *guest) private() bool {
	_, err := os.Stat(filepath.Join(g.dir, "read.keys"))
	return err == nil
}

// unlock keeps the read key of the link with which a writer joins, and makes a key of its own
// to which later ones are sent. It returns the public half; "" without a read key.
func (g *guest) unlock(stateDir, readKey string) (public string, err error) {
	if readKey == "" && !g.private() {
		return "", nil
	}
	if readKey != "" {
		k, err := seal.ParseKey(readKey)
		if err != nil {
			return "", console.Usagef("copy the link again, up to its last character", "the key behind #k= is damaged: %v", err)
		}
		var ring seal.Ring
		if text, err := keyfile.ReadKeys(writersDir(stateDir), g.id); err != nil {
			return "", err
		} else if text != nil {
			if ring, err = seal.ParseRing(text); err != nil {
				return "", err
			}
		}
		if ring.Add(k) {
			if err := keyfile.WriteReadKeys(writersDir(stateDir), g.id, ring.Bytes()); err != nil {
				return "", err
			}
		}
	}
	own, err := g.reader()
	if errors.Is(err, fs.ErrNotExist) {
		k, err := seal.NewKey(rand.Reader)
		if err != nil {
			return "", err
		}
		if err := durable.WriteFile(durable.OS{}, g.readerPath(), []byte(k.Text()+"\n")); err != nil {
			return "", err
		}
		own, err = g.reader()
		if err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	return own.Recipient(), nil
}

// reader reads the key to which read keys are sent.
func (g *guest) reader() (seal.Key, error) {
	info, err := os.Stat(g.readerPath())
	if err != nil {
		return seal.Key{}, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return seal.Key{}, &console.Fault{Code: console.NoSpace, Message: fmt.Sprintf("%s is open to other users (mode %04o)", g.readerPath(), info.Mode().Perm()),
			Hint: "chmod 600 it, and think about who may have read it"}
	}
	text, err := durable.ReadFile(durable.OS{}, g.readerPath(), 1<<10)
	if err != nil {
		return seal.Key{}, err
	}
	k, err := seal.ParseKey(strings.TrimSuffix(string(text), "\n"))
	if err != nil {
		return k, fmt.Errorf("%s: %w", g.readerPath(), err)
	}
	return k, nil
}

// guestSealer returns the sealer of a delegated writer; nil when no read key is here.
func (r *running) guestSealer(g *guest) *sealer {
	if !g.private() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sealers[g.id]
	if s == nil {
		s = &sealer{dir: writersDir(r.dir), id: g.id, guest: g}
		r.sealers[g.id] = s
	}
	return s
}

// learn reads the main writer's log for read keys that were sent, and keeps those that open.
// Nothing is sealed while the newest one was sent to others alone: it may have been made
// because somebody is to read no more. The caller holds mu.
func (s *sealer) learn() error {
	c, err := s.mainLog()
	if err != nil {
		return err
	}
	size := c.Head().Size
	if size < s.scanned { // a base took it back
		s.scanned, s.newest, s.locked = 0, 0, 0
	}
	for ; s.scanned < size; s.scanned++ {
		raw, err := c.Entry(s.scanned)
		if err != nil {
			return err
		}
		e, err := manifest.ParseEntry(raw)
		if err != nil {
			continue // of a later version
		}
		if sent, ok := e.(manifest.Rekey); ok {
			if err := s.receive(sent, s.scanned+1); err != nil {
				return err
			}
		}
	}
	if s.locked > 0 {
		return &console.Fault{Code: console.Refused, Message: fmt.Sprintf("channel %s: the read key that entry m/%d brings was not sent to this writer", s.id, s.locked-1),
			Hint: "ask the channel's owner for `seed reader add`, with the key that `seed writer join` has printed"}
	}
	return nil
}

// receive takes a read key that was sent. The caller holds mu.
func (s *sealer) receive(sent manifest.Rekey, at int64) error {
	own, err := s.guest.reader()
	if err != nil {
		return err
	}
	id, err := own.Identity()
	if err != nil {
		return err
	}
	k, err := seal.OpenKey(sent.Box, []age.Identity{id})
	if errors.Is(err, seal.ErrKey) {
		s.locked = at
		return nil
	}
	if err != nil {
		return fmt.Errorf("channel %s: entry m/%d: %w", s.id, at-1, err)
	}
	ring, err := s.ring()
	if err != nil {
		return err
	}
	// The last one sent is what seals, also if it was known.
	var next seal.Ring
	for _, old := range ring.Keys {
		if old != k {
			next.Add(old)
		}
	}
	next.Add(k)
	if err := s.write(next); err != nil {
		return err
	}
	s.newest, s.locked = at, 0
	return nil
}

// mainLog returns the main writer's log, up to the newest that is known of it.
func (s *sealer) mainLog() (*publish.Copy, error) {
	if s.publisher == nil {
		return nil, errors.New("seal: the log is not open yet")
	}
	return s.publisher.AwaitCopy(context.Background(), signing.MainWriter)
}
