package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"handful/signing"
	"handful/signing/durable"
	"handful/signing/keyfile"
	"handful/swarm/console"
	"handful/swarm/publish"
)

// How long a request to cosign may take, and what it may be.
const (
	cosignTimeout = 10 * time.Second
	cosignHeader  = 8 << 10
)

// cosignedFile keeps what a further holder of a key has signed last.
func cosignedFile(stateDir string, id signing.ID, writer string) string {
	return filepath.Join(stateDir, "cosigned", id.String()+"."+writer)
}

func cosignCommand(a *console.App) *cobra.Command {
	var channel, key, listen string
	cmd := &cobra.Command{
		Use:   "cosign --key FILE",
		Short: "Sign what another machine publishes, where several keys must sign",
		Long: `Cosign is for channels in which several keys sign all that is published
("seed root edit --add-head h2.pub --need-head 2"). One machine publishes; on each of the
others this command answers it, with the key in FILE (PKCS#8 in PEM without a password,
Ed25519). It signs whatever another of these keys has signed and continues what it signed
before, so that two histories can never have the signatures of both; what is published it
does not judge. Let only the publishing machine reach its address: who has the other key
and reaches it can publish.

It needs the root documents, on this machine and after each change:
"seed root add -c acme 1.root.json 2.root.json", and asks nobody else. On the publishing
machine say where it is: it is asked like a witness (C2SP tlog-witness), whose name is
handful/ID/m. What it is about to sign is on disk first, in cosigned/ in the state directory.

Exit status: 0, 1 (the key is none of the channel's), 2, 10 (no such channel or key
file), 11, 130 and 143.`,
		Example: "  seed cosign -c acme --key h2.pem --listen 10.1.0.7:6890\n  seed root witness -c acme handful/agaagous…/m http://10.1.0.7:6890/",
		Args:    a.Args(0, 0, ""),
	}
	f := cmd.Flags()
	f.StringVarP(&channel, "channel", "c", defaultChannel, "channel: its name, or its id")
	f.StringVar(&key, "key", "", "file of the private key that signs")
	f.StringVar(&listen, "listen", "127.0.0.1:6890", "address to listen on; port 0 picks one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if key == "" {
			return console.Usagef("", "name the key: --key FILE")
		}
		private, err := keyfile.ReadKey(a.Env.Path(key))
		if err != nil {
			return err
		}
		return console.WithNode(cmd.Context(), a, tree, openOffline, func(ctx context.Context, _ lister) error {
			stateDir, err := a.StateDir()
			if err != nil {
				return err
			}
			b, err := openBook(stateDir, channel)
			if err != nil {
				return err
			}
			h := &publish.Holder{
				Documents: func() (*signing.Root, *signing.Targets, error) {
					k, err := keyfile.Open(keysDir(stateDir), b.id)
					if err != nil {
						return nil, nil, err
					}
					return k.Newest(), nil, nil
				},
				Writer: signing.MainWriter, Key: private, File: cosignedFile(stateDir, b.id, signing.MainWriter), FS: durable.OS{}, Now: a.Env.Now,
			}
			return serveCosign(ctx, a, h, b.id, listen)
		})
	}
	return cmd
}

// serveCosign answers until ctx ends.
func serveCosign(ctx context.Context, a *console.App, h *publish.Holder, id signing.ID, listen string) error {
	if err := h.Check(); err != nil {
		return &console.Fault{Code: console.Failed, Message: "channel " + id.String(), Err: err,
			Hint: "name the file of one of the keys that publish, as `seed root show` lists them; `seed root add` takes in a newer root document"}
	}
	if err := h.FS.MkdirAll(filepath.Dir(h.File)); err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: cosignTimeout, ReadTimeout: cosignTimeout, WriteTimeout: cosignTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: cosignHeader,
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	a.Out().Print(console.Listening{Addr: ln.Addr().String()})
	a.Out().Print(console.Note{Message: fmt.Sprintf("on the machine that publishes: seed root witness -c %s %s http://%s/", id, signing.Origin(id, h.Writer), ln.Addr())})
	select {
	case <-ctx.Done():
		err = context.Cause(ctx)
	case e := <-done:
		return e
	}
	if e := srv.Close(); e != nil {
		return errors.Join(err, e)
	}
	if e := <-done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}
