package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"handful/signing"
	"handful/signing/durable"
	"handful/signing/keyfile"
	"handful/swarm/console"
)

// proposed is a document that somebody is asked to sign.
type proposed struct {
	root, rootBefore       *signing.Root // one of root and targets is set
	targets, targetsBefore *signing.Targets
	id                     signing.ID
	payload                []byte
}

// readPayload reads the bytes to sign, or a document.
func readPayload(a *console.App, file string) (*proposed, error) {
	raw, err := durable.ReadFile(durable.OS{}, a.Env.Path(file), signing.MaxTargets)
	if err != nil {
		return nil, err
	}
	d := &proposed{}
	var errs error
	for _, parse := range []func() (err error){
		func() (err error) { d.root, err = signing.ParseRootPayload(raw); return err },
		func() (err error) { d.targets, err = signing.ParseTargetsPayload(raw); return err },
		func() (err error) { d.root, err = signing.ParseRoot(raw); return err },
		func() (err error) { d.targets, err = signing.ParseTargets(raw); return err },
	} {
		err := parse()
		if err == nil {
			break
		}
		d.root, d.targets = nil, nil
		if !bytes.HasPrefix(raw, []byte(`{"signatures"`)) || errs == nil {
			errs = err
		}
	}
	switch {
	case d.root != nil:
		d.payload, d.id = d.root.Payload(), d.root.ID()
	case d.targets != nil:
		d.payload = d.targets.Payload()
	default:
		return nil, fmt.Errorf("%s: neither a document of a channel nor the bytes to sign for one: %w", file, errs)
	}
	return d, nil
}

// findBefore looks in the channels here for the document that this one follows.
func (d *proposed) findBefore(stateDir string) {
	ids, err := keyfile.List(keysDir(stateDir))
	if err != nil {
		return
	}
	for _, id := range ids {
		b, err := openBookOf(stateDir, id)
		if err != nil || b.keys == nil {
			continue
		}
		if d.root != nil && b.next.root != nil && bytes.Equal(b.next.root.Payload(), d.payload) {
			d.rootBefore, d.id = b.keys.Newest(), id
		}
		if d.targets != nil && b.next.targets != nil && bytes.Equal(b.next.targets.Payload(), d.payload) {
			d.targetsBefore, d.id = b.keys.Document(), id
		}
	}
}

// takeBefore reads the version before from a file.
func (d *proposed) takeBefore(a *console.App, file string) error {
	b, err := readPayload(a, file)
	if err != nil {
		return notToSign(err)
	}
	if (b.root == nil) != (d.root == nil) {
		return console.Usagef("name the document of the same kind and of the version before", "%s is a document of another kind", file)
	}
	d.rootBefore, d.targetsBefore = b.root, b.targets
	return nil
}

func (d *proposed) kind() string {
	if d.root != nil {
		return "root"
	}
	return "targets"
}

func (d *proposed) version() int64 {
	if d.root != nil {
		return d.root.Version()
	}
	return d.targets.Version()
}

func (d *proposed) explain(a *console.App) {
	if d.root != nil {
		explainRoot(a, d.id, d.root, d.rootBefore)
	} else {
		explainTargets(a, d.id, d.targets, d.targetsBefore)
	}
}

// signRequest is what to sign with what.
type signRequest struct {
	key, sshKey, out, before string
	agent, yes               bool
}

func signCommand(a *console.App) *cobra.Command {
	var r signRequest
	cmd := &cobra.Command{
		Use:   "sign PAYLOAD",
		Short: "Read in words what a channel's document would change, and sign it",
		Long: `Sign is for who holds a root or targets key. It says in plain words what the bytes in
PAYLOAD (N.root.payload, N.targets.payload) say, asks, and signs them: with a private key
in a file (PKCS#8 in PEM without a password, Ed25519 or ECDSA on P-256), or with
ssh-agent. Hand the signature to whoever proposed the document, for "seed root add".
It needs no channel and no network here; --before names the version before, to be told
what changes and not only what is said.

Exit status: 0, 1 (not signed), 2, 10, 12 (PAYLOAD is not what a document's keys sign), 14.`,
		Example: "  seed sign 2.root.payload --before 1.root.json --key a.pem\n  seed sign 2.root.payload --ssh-agent",
		Args:    a.Args(1, 1, "the file with the bytes to sign"),
	}
	f := cmd.Flags()
	f.StringVar(&r.key, "key", "", "file of the private key")
	f.BoolVar(&r.agent, "ssh-agent", false, "let ssh-agent sign")
	f.StringVar(&r.sshKey, "ssh-key", "", "public key of OpenSSH that the agent is to use; default: the first that the document names")
	f.StringVar(&r.before, "before", "", "document of the version before")
	f.StringVarP(&r.out, "output", "o", "", "file for the signature; default: PAYLOAD with .sig")
	f.BoolVar(&r.yes, "yes", false, "do not ask")
	cmd.RunE = func(_ *cobra.Command, args []string) error { return r.run(a, args[0]) }
	return cmd
}

func (r *signRequest) run(a *console.App, file string) error {
	if r.agent == (r.key != "") {
		return console.Usagef("`seed root show "+file+"` only explains", "name the key: --key FILE or --ssh-agent")
	}
	d, err := readPayload(a, file)
	if err != nil {
		return notToSign(err)
	}
	if r.before != "" {
		if err := d.takeBefore(a, r.before); err != nil {
			return err
		}
	} else if stateDir, err := a.StateDir(); err == nil {
		d.findBefore(stateDir)
	}
	d.explain(a)
	if a.Common.DryRun {
		return nil
	}
	if !r.yes {
		if err := agreed(a); err != nil {
			return err
		}
	}
	key, sig, err := r.sign(a, d)
	if err != nil {
		return err
	}
	out := r.out
	if out == "" {
		out = file + ".sig"
	}
	path := a.Env.Path(out)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, sig, 0o644); err != nil {
		return fmt.Errorf("write the signature: %w", err)
	}
	a.Out().Print(console.Signature{Document: d.kind(), Version: d.version(), Key: key.ID(), Path: path})
	return nil
}

// agreed asks whether to sign.
func agreed(a *console.App) error {
	fmt.Fprint(a.Env.Stderr, "Sign this? Type yes: ")
	line, err := bufio.NewReader(a.Env.Stdin).ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(a.Env.Stderr)
		return console.Usagef("answer yes, or give --yes", "nobody answered; nothing was signed")
	}
	if strings.TrimSpace(line) != "yes" {
		return &console.Fault{Code: console.Failed, Message: "nothing was signed"}
	}
	return nil
}

// notToSign says what to do about a file with nothing to sign.
func notToSign(err error) error {
	if console.Code(err) != console.Refused {
		return err
	}
	return &console.Fault{Code: console.Refused, Err: err,
		Hint: "name the file N.root.payload or N.targets.payload, as whoever proposed the document sent it, byte for byte"}
}

// sign signs, and makes sure that the document names the key.
func (r *signRequest) sign(a *console.App, d *proposed) (key signing.Key, sig []byte, err error) {
	if r.agent {
		return r.signByAgent(a, d)
	}
	text, err := durable.ReadFile(durable.OS{}, a.Env.Path(r.key), 16<<10)
	if err != nil {
		return key, nil, err
	}
	signer, err := keyfile.ParseSigner(text)
	if err != nil {
		return key, nil, console.Usagef("name the file of the private key that belongs to one of the keys above", "%s: %s", r.key, strings.TrimPrefix(err.Error(), "private key: damaged: "))
	}
	if key, err = signing.NewKey(signer.Public()); err != nil {
		return key, nil, err
	}
	if sig, err = signing.SignPayload(d.payload, signer); err != nil {
		return key, nil, err
	}
	return key, sig, d.check(a, key, sig)
}

// check warns where a signature does not count as far as can be told here.
func (d *proposed) check(a *console.App, key signing.Key, sig []byte) error {
	if d.root == nil {
		return nil // the keys of the role targets stand in another document
	}
	_, err := d.root.Attach(sig, d.rootBefore)
	if errors.Is(err, signing.ErrForged) {
		a.Out().Print(console.Warning{Message: fmt.Sprintf("%s is no root key of this document: its signature counts only if it is one of the version before", key)})
		return nil
	}
	return err
}
