package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/console"
)

func proofCommand(a *console.App) *cobra.Command {
	var r fetchRequest
	var stay console.Stay
	var output string
	cmd := &cobra.Command{
		Use:   "proof LINK",
		Short: "Write the proof that an entry was published to a file",
		Long: `Proof writes the entry that a link names to a file, with all that shows who published
it: the channel's documents and a proof of inclusion. Anybody can check it with "fetch
verify --proof FILE", on any machine, without a network and for ever.

Exit status: 0, 2, 10 (no peer has it), 11, 12, 14 (the file exists or cannot be
written), 130 and 143.`,
		Example: "  fetch trust proof handful:agaagous…/m/3 -o demo.proof\n  fetch verify --proof demo.proof Demo",
		Args:    a.Args(1, 1, "a link that names an entry"),
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "file to write (default CHANNEL-WRITER-INDEX.proof)")
	r.AddFlags(f)
	a.AddNode(false, cmd)
	stay.AddTimeout(f, a.Env)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := parseChannel(a, args[0])
		if err != nil {
			return err
		}
		if l.Index < 0 {
			return console.Usagef("add /WRITER/INDEX to the link", "a proof is of one entry, and the link names none")
		}
		r.Channel, r.Timeout = &l, stay.Timeout
		return console.WithNode(cmd.Context(), a, tree, opener(a), func(ctx context.Context, n node) error {
			p, err := n.Prove(ctx, r)
			if err != nil {
				return err
			}
			line, _, err := proofLine(p)
			if err != nil {
				return err
			}
			if output == "" {
				output = fmt.Sprintf("%s-%s-%d.proof", l.ID, p.Writer, p.Index)
			}
			if line.Path = a.Env.Path(output); a.Common.DryRun {
				a.Out().Print(console.Plan{Action: "write", Name: l.ID.String(), Path: line.Path, Bytes: int64(len(p.Bytes())), Files: 1})
				return nil
			}
			if err := writeNew(line.Path, p.Bytes()); err != nil {
				return err
			}
			a.Out().Print(line)
			return nil
		})
	}
	return cmd
}

// proofLine checks a proof, and says what it proves.
func proofLine(p signing.Proof) (console.Proof, manifest.Entry, error) {
	root, head, err := p.Verify()
	if err != nil {
		return console.Proof{}, nil, err
	}
	entry, err := manifest.ParseEntry(p.Entry)
	if err != nil {
		return console.Proof{}, nil, fmt.Errorf("entry %d of writer %q: %w", p.Index, p.Writer, err)
	}
	line := console.Proof{Channel: p.ID.String(), Writer: p.Writer, Index: p.Index, Kind: entry.Kind(),
		Signed: head.Time.Format(time.RFC3339), Entries: head.Size, Root: root.Version()}
	switch e := entry.(type) {
	case manifest.Post:
		line.Title = e.Title
	case manifest.Media:
		line.Title, line.Name = e.Title, e.Name
	case manifest.Release:
		line.Name = e.Version
	}
	return line, entry, nil
}

// readProof reads a file that proves something; what it proves is checked, and printed.
// Of the proof of an entry that entry is returned.
func readProof(a *console.App, path string) (manifest.Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the proof: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, signing.MaxState+1))
	if err != nil {
		return nil, fmt.Errorf("read the proof: %w", err)
	}
	p, err := signing.ParseProof(b)
	if err == nil {
		line, entry, err := proofLine(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		line.Path, line.Checked = path, true
		a.Out().Print(line)
		return entry, nil
	}
	e, err2 := signing.ParseEvidence(b)
	if err2 != nil {
		return nil, &console.Fault{Code: console.Refused, Message: path + " is neither the proof of an entry nor the evidence of a fork",
			Hint: "ask for the file again", Err: errors.Join(err, err2)}
	}
	line, err := evidenceLine(e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	line.Path, line.Checked = path, true
	a.Out().Print(line)
	return nil, nil
}

// provenBy checks that a torrent is what a proven entry names.
func provenBy(t *manifest.Torrent, entry manifest.Entry) error {
	n, ok := manifest.NamedBy(entry)
	if !ok {
		return console.Usagef("verify it without a path", "what the proof is about has no content")
	}
	if !t.Match(n.InfoSum, n.InfoHashV1, n.HasV1) {
		return &console.Fault{Code: console.Unverified, Message: t.Name + " is not what the proven entry names", Hint: "name the right path, or the right proof"}
	}
	return nil
}
