package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"handful/signing"
	"handful/swarm/console"
	"handful/swarm/follow"
)

// known is what is believed of a channel.
type known struct {
	trust    *follow.Trust
	writers  []string
	standing func(writer string, now time.Time) signing.Standing
}

func trustCommand(a *console.App) *cobra.Command {
	var r fetchRequest
	var stay console.Stay
	var offline bool
	cmd := &cobra.Command{
		Use:   "trust LINK|ID",
		Short: "Say what is known of a channel: who may publish, what is newest, how old it is",
		Long: `Trust says what is known of a channel: its id and title, its root documents, all of
which were verified from the id on, and for each writer how many entries are proven,
when that was signed last, how many of the sources that were asked showed nothing
else, and what it is worth:

    fresh         not older than the channel's root document allows
    late          older: news may be withheld, or the publisher is away
    unconfirmed   a document has expired, or other keys have to sign it anew
    forked        the writer signed two histories; "fetch trust evidence" has the proof
    withdrawn     a document took the newest entries back, or the writer was revoked

Peers are asked first, for three seconds or until three of them have answered, and for
three more when a document is missing that they told of. With --offline nobody is asked.

Exit status: 0, 2, 10 (nothing is known), 11, 12 (a writer has forked, or what peers
say was refused), 130 and 143.`,
		Example: "  fetch trust handful:agaagous…\n  fetch trust --offline --json agaagous…",
		Args:    a.Args(1, 1, "a link, or a channel's id"),
	}
	f := cmd.Flags()
	f.BoolVar(&offline, "offline", false, "ask nobody, say what is on disk")
	r.AddFlags(f)
	a.AddNode(false, cmd)
	stay.AddTimeout(f, a.Env)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		l, err := parseChannel(a, args[0])
		if err != nil {
			return err
		}
		r.Channel, r.Timeout = &l, stay.Timeout
		if offline {
			return console.WithState(ctx, a, openOffline, func(ctx context.Context, s state) error { return showTrust(ctx, a, s, l.ID, true) })
		}
		return console.WithNode(ctx, a, tree, opener(a), func(ctx context.Context, n node) error {
			if err := n.Ask(ctx, r); err != nil {
				return err
			}
			return showTrust(ctx, a, n, l.ID, false)
		})
	}
	cmd.AddCommand(evidenceCommand(a), proofCommand(a))
	return cmd
}

// parseChannel reads a link to a channel, or its id alone.
func parseChannel(a *console.App, arg string) (signing.Link, error) {
	text, err := readLink(a, arg)
	if err != nil {
		return signing.Link{}, err
	}
	if arg == "-" {
		a.Replace("-", text)
	}
	if !strings.Contains(text, ":") {
		text = "handful:" + text
	}
	return signing.ParseLink(text)
}

// showTrust prints what is known of a channel.
func showTrust(ctx context.Context, a *console.App, s state, id signing.ID, offline bool) error {
	k, err := s.Known(ctx, id)
	if err != nil {
		return err
	}
	now, out := a.Env.Now(), a.Out()
	line := trustLine(id, k.trust, now)
	line.Offline = offline
	out.Print(line)
	var forked []string
	for _, w := range k.writers {
		l := standingLine(id, w, k, now)
		if l.State == signing.StateForked.String() {
			forked = append(forked, w)
		}
		out.Print(l)
	}
	if len(forked) > 0 {
		return &console.Fault{Code: console.Refused, Message: fmt.Sprintf("writer %s of channel %s signed two histories", strings.Join(forked, ", "), id),
			Hint: "`fetch trust evidence` writes the proof; the publisher must repair the channel", Err: nil}
	}
	return nil
}

func trustLine(id signing.ID, t *follow.Trust, now time.Time) console.Trust {
	line := console.Trust{Channel: id.String(), State: t.State(signing.MainWriter, now).String()}
	for _, r := range t.Roots() {
		role := r.Role(signing.RoleRoot)
		line.Roots = append(line.Roots, console.TrustRoot{Version: r.Version(), Expires: r.Expires().Format(time.RFC3339), Need: role.Threshold, Keys: len(role.Keys)})
		line.Title, line.Private = r.Title(), r.Private()
	}
	if doc := t.Targets(); doc != nil {
		line.Targets, line.Until = doc.Version(), doc.Expires().Format(time.RFC3339)
	}
	line.Missing = t.Wants() != signing.Need{}
	return line
}

func standingLine(id signing.ID, writer string, k known, now time.Time) console.Standing {
	s := k.standing(writer, now)
	line := console.Standing{Channel: id.String(), Writer: writer, State: s.State.String(), Entries: s.Followed,
		Sources: s.Sources, Asked: s.Asked, Closed: k.trust.Closed(writer)}
	if h := k.trust.Head(writer); h.Raw != nil {
		line.Root, line.Signed, line.Age = hex.EncodeToString(h.Root[:]), s.Signed.Format(time.RFC3339), int64(s.Age/time.Second)
	}
	for _, w := range k.trust.Withdrawn(writer) {
		line.Withdrawn = append(line.Withdrawn, console.TakeBack{First: w.First, Last: w.Size - 1, Version: w.Version})
	}
	return line
}

func evidenceCommand(a *console.App) *cobra.Command {
	var output, writer string
	cmd := &cobra.Command{
		Use:   "evidence LINK|ID",
		Short: "Write the proof that a writer has signed two histories to a file",
		Long: `Evidence writes the proof that a writer of a channel has signed two histories: both
heads, and the channel's documents that say whose keys signed them. Anybody can check
it with "fetch verify --proof FILE", on any machine, without a network and for ever.

Exit status: 0, 2, 10 (no fork is known), 11, 14 (the file exists or cannot be written),
130 and 143.`,
		Example: "  fetch trust evidence handful:agaagous… -o fork.evidence\n  fetch verify --proof fork.evidence",
		Args:    a.Args(1, 1, "a link, or a channel's id"),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write (default CHANNEL-WRITER.evidence)")
	cmd.Flags().StringVar(&writer, "writer", "", "of this writer (default: the one that has forked)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := parseChannel(a, args[0])
		if err != nil {
			return err
		}
		return console.WithState(cmd.Context(), a, openOffline, func(ctx context.Context, s state) error {
			k, err := s.Known(ctx, l.ID)
			if err != nil {
				return err
			}
			return writeEvidence(a, k, l.ID, writer, output)
		})
	}
	return cmd
}

func writeEvidence(a *console.App, k known, id signing.ID, writer, output string) error {
	for _, w := range k.writers {
		e, ok := k.trust.Evidence(w)
		if !ok || writer != "" && w != writer {
			continue
		}
		if output == "" {
			output = fmt.Sprintf("%s-%s.evidence", id, w)
		}
		line, err := evidenceLine(e)
		if err != nil {
			return err
		}
		if line.Path = a.Env.Path(output); a.Common.DryRun {
			a.Out().Print(console.Plan{Action: "write", Name: id.String(), Path: line.Path, Bytes: int64(len(e.Bytes())), Files: 1})
			return nil
		}
		if err := writeNew(line.Path, e.Bytes()); err != nil {
			return err
		}
		a.Out().Print(line)
		return nil
	}
	return &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("no fork of channel %s is known", id), Hint: "`fetch trust` asks peers"}
}

// evidenceLine checks evidence and says what it proves.
func evidenceLine(e signing.Evidence) (console.Evidence, error) {
	first, second, err := e.Verify()
	if err != nil {
		return console.Evidence{}, err
	}
	line := console.Evidence{Channel: e.ID.String(), Writer: e.Writer}
	for i, h := range []signing.Head{first, second} {
		line.Heads[i] = console.Head{Entries: h.Size, Root: hex.EncodeToString(h.Root[:]), Signed: h.Time.Format(time.RFC3339)}
	}
	return line, nil
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return &console.Fault{Code: console.NoSpace, Message: path + " is there already", Hint: "choose another file with -o", Err: err}
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write: %w", err), os.Remove(path))
	}
	return nil
}
