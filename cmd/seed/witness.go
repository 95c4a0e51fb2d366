package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"handful/signing"
	"handful/signing/durable"
	"handful/swarm/console"
	"handful/swarm/publish"
)

// witnessTime is how long a witness may take to answer.
const witnessTime = 10 * time.Second

// Where witnesses are asked is this machine's business; whose signatures count is the root
// document's.
//
//	STATE/keys/<id>/witnesses     NAME URL, one a line
func witnessFile(stateDir string, id signing.ID) string {
	return filepath.Join(keysDir(stateDir), id.String(), "witnesses")
}

// readWitnesses returns where the witnesses of a channel are asked, as NAME URL.
func readWitnesses(stateDir string, id signing.ID) (lines []string, err error) {
	b, err := durable.ReadFile(durable.OS{}, witnessFile(stateDir, id), 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// cosigners are the witnesses that a channel's heads are handed to.
func cosigners(stateDir string, id signing.ID) (all []publish.Cosigner, err error) {
	lines, err := readWitnesses(stateDir, id)
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		name, at, ok := strings.Cut(line, " ")
		if !ok {
			return nil, fmt.Errorf("%s: %q is not NAME URL", witnessFile(stateDir, id), line)
		}
		all = append(all, &publish.Witness{Name: name, URL: at, Client: &http.Client{Timeout: witnessTime}})
	}
	return all, nil
}

func rootWitness(a *console.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "witness NAME URL|-",
		Short: "Say where a witness is asked to cosign what is published here",
		Long: `Witness says where this machine asks the witness NAME for its signature: URL is the
submission prefix of a C2SP tlog-witness. "-" forgets it. Whose signatures followers want,
and how many, says the root document: "seed root edit --witness KEY --need-witness 1".
What is published is held back until enough witnesses have signed, and tried again.
Where several keys must sign (--need-head), machines that run "seed cosign" are named
here in the same way; their NAME is handful/ID/m.

A node that runs asks there from its next start on.

Exit status: 0, 1, 2, 10 (no such channel), 11, 14.`,
		Example: "  seed root witness example.org/w https://example.org/witness/",
		Args:    a.Args(2, 2, "the name of a witness and its URL"),
	}
	channel := channelFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		u, err := url.Parse(args[1])
		if args[1] != "-" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
			return console.Usagef("http and https are", "%q is no URL of a witness", args[1])
		}
		return console.WithState(cmd.Context(), a, openOffline, func(_ context.Context, _ lister) error {
			stateDir, err := a.StateDir()
			if err != nil {
				return err
			}
			b, err := openBook(stateDir, *channel)
			if err != nil {
				return err
			}
			if err := b.needKeys(); err != nil {
				return err
			}
			lines, err := readWitnesses(stateDir, b.id)
			if err != nil {
				return err
			}
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, args[0]+" ") })
			if args[1] != "-" {
				lines = append(lines, args[0]+" "+args[1])
			}
			if a.Common.DryRun {
				return nil
			}
			known, need := b.keys.Newest().Witnesses()
			if args[1] != "-" && args[0] != signing.Origin(b.id, signing.MainWriter) && !slices.ContainsFunc(known, func(w signing.Witness) bool { return strings.HasPrefix(w.String(), args[0]+"+") }) {
				a.Out().Print(console.Warning{Message: fmt.Sprintf("the root document names no witness %s yet (it names %d and needs %d)", args[0], len(known), need)})
			}
			if err := durable.WriteFile(durable.OS{}, witnessFile(stateDir, b.id), []byte(strings.Join(append(lines, ""), "\n"))); err != nil {
				return err
			}
			said := fmt.Sprintf("%s is asked at %s, by a node that runs from its next start on", args[0], args[1])
			if args[1] == "-" {
				said = args[0] + " is asked no more"
			}
			a.Out().Print(console.Note{Message: said})
			return nil
		})
	}
	return cmd
}
