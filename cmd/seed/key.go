package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/console"
)

const maxExport = 1 << 20 // bytes; far more than any export

func keyCommand(a *console.App) *cobra.Command {
	cmd := a.Group(&cobra.Command{
		Use:   "key",
		Short: "Show, back up and restore a channel's keys",
		Long: `A channel's keys say who may publish in it. Whoever has root.pem owns the channel;
whoever has online.pem can publish until the owner replaces that key; dht.pem can
only delay followers. Lost keys cannot be made again: keep an export in a safe place.`,
	})
	cmd.AddCommand(keyShow(a), keyExport(a), keyImport(a), keyOffline(a), keyRotate(a), keyCompromise(a), keyRevoke(a))
	return cmd
}

func channelFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("channel", "c", defaultChannel, "channel: its name, or its id")
}

func keyShow(a *console.App) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Print a channel's id, link and public keys", Args: a.Args(0, 0, "")}
	channel := channelFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		keys, dir, err := openKeys(a, *channel)
		if err != nil {
			return err
		}
		a.Out().Print(console.Key{Channel: keys.ID.String(), Name: *channel, Link: signing.Link{ID: keys.ID, Index: -1}.String(),
			Path: filepath.Join(dir, keys.ID.String()), Root: public(keys.Root), Online: public(keys.Online), DHT: public(keys.DHT)})
		return nil
	}
	return cmd
}

// public is a private key's other half in base64, empty when it is not here.
func public(k ed25519.PrivateKey) string {
	if k == nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(k.Public().(ed25519.PublicKey))
}

func openKeys(a *console.App, channel string) (*keyfile.Keys, string, error) {
	if err := checkChannelName(channel); err != nil {
		return nil, "", err
	}
	stateDir, err := a.StateDir()
	if err != nil {
		return nil, "", err
	}
	id, err := findChannel(stateDir, channel)
	if err != nil {
		return nil, "", err
	}
	keys, err := keyfile.Open(keysDir(stateDir), id)
	return keys, keysDir(stateDir), err
}

func keyExport(a *console.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export FILE|-",
		Short: "Write a channel's private keys to a file, or to stdout",
		Long: `Export writes everything that is needed to publish in the channel into one file,
readable by you alone. A file that is there is never overwritten.

Exit status: 0, 1, 10 (no such channel), 14 (the file exists or cannot be written).`,
		Example: "  seed key export /media/stick/channel.keys\n  seed key export - | gpg --symmetric > channel.keys.gpg",
		Args:    a.Args(1, 1, "the file to write, or - for stdout"),
	}
	channel := channelFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		keys, _, err := openKeys(a, *channel)
		if err != nil {
			return err
		}
		text, err := keys.Export()
		if err != nil {
			return err
		}
		if args[0] == "-" {
			if a.Common.JSON {
				return console.Usagef("name a file", "with --json the keys cannot go to stdout")
			}
			_, err := a.Env.Stdout.Write(text)
			return err
		}
		path := a.Env.Path(args[0])
		if a.Common.DryRun {
			a.Out().Print(console.Plan{Action: "export", Name: keys.ID.String(), Path: path, Bytes: int64(len(text)), Files: 1})
			return nil
		}
		if err := writeNew(path, text); err != nil {
			return err
		}
		a.Out().Print(console.Exported{Channel: keys.ID.String(), Path: path, Keys: keysHere(keys)})
		return nil
	}
	return cmd
}

// writeNew writes a secret to a file that must not be there yet. A file that
// could not be written whole is removed.
func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &console.Fault{Code: console.NoSpace, Message: "export the keys", Hint: "name a new file", Err: err}
	}
	if err != nil {
		return fmt.Errorf("export the keys: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(path)
		return fmt.Errorf("export the keys: %w", err)
	}
	return nil
}

func keyImport(a *console.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Take in a channel's private keys from an export",
		Long: `Import takes in what "seed key export" wrote, or a single private key that the channel's
root document names (PKCS#8 in PEM, Ed25519). Two machines that publish with the same keys
at the same time break the channel: move the keys, do not copy them.

Exit status: 0, 1 (it is no export, or damaged), 10, 14 (other keys are there).`,
		Args: a.Args(1, 1, "the file to read, or - for stdin"),
	}
	channel := channelFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkChannelName(*channel); err != nil {
			return err
		}
		text, err := readExport(a, args[0])
		if err != nil {
			return err
		}
		if bytes.HasPrefix(text, []byte("-----BEGIN PRIVATE KEY")) {
			return importKey(cmd.Context(), a, *channel, text)
		}
		stateDir, err := a.StateDir()
		if err != nil {
			return err
		}
		if a.Common.DryRun {
			keys, err := keyfile.ParseExport(text)
			if err != nil {
				return err
			}
			a.Out().Print(console.Plan{Action: "import", Name: keys.ID.String(), Path: keysDir(stateDir), Bytes: int64(len(text)), Files: 1})
			return nil
		}
		if err := os.MkdirAll(stateDir, 0o700); err != nil {
			return err
		}
		keys, err := keyfile.Import(keysDir(stateDir), text)
		if err != nil {
			return err
		}
		if err := nameChannel(stateDir, *channel, keys.ID); err != nil {
			return err
		}
		a.Out().Print(console.Exported{Channel: keys.ID.String(), Path: filepath.Join(keysDir(stateDir), keys.ID.String()), Import: true, Keys: keysHere(keys)})
		return nil
	}
	return cmd
}

// importKey takes in a single private key.
func importKey(ctx context.Context, a *console.App, channel string, text []byte) error {
	signer, err := keyfile.ParseSigner(text)
	if err != nil {
		return err
	}
	key, ok := signer.(ed25519.PrivateKey)
	if !ok {
		return console.Usagef("keep it where it is, and sign with `seed sign --key`", "only Ed25519 keys are kept here")
	}
	return console.WithState(ctx, a, openOffline, func(ctx context.Context, l lister) error {
		defer l.Exclusive()()
		stateDir, err := a.StateDir()
		if err != nil {
			return err
		}
		b, err := openBook(stateDir, channel)
		if err != nil {
			return err
		}
		if err := b.needKeys(); err != nil {
			return err
		}
		if a.Common.DryRun {
			a.Out().Print(console.Plan{Action: "import", Name: b.id.String(), Path: keysDir(stateDir), Bytes: int64(len(text)), Files: 1})
			return nil
		}
		if _, err := b.keys.Place(keysDir(stateDir), key); err != nil {
			return err
		}
		a.Out().Print(console.Exported{Channel: b.id.String(), Path: filepath.Join(keysDir(stateDir), b.id.String()), Import: true})
		_, err = l.Reload(ctx, b.id)
		return err
	})
}

func readExport(a *console.App, arg string) ([]byte, error) {
	in := a.Env.Stdin
	if arg != "-" {
		f, err := os.Open(a.Env.Path(arg))
		if err != nil {
			return nil, fmt.Errorf("import keys: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxExport+1))
	if err != nil {
		return nil, fmt.Errorf("import keys from %s: %w", arg, err)
	}
	if len(b) > maxExport {
		return nil, console.Usagef("name what `seed key export` wrote", "import keys from %s: it is larger than any export", arg)
	}
	return b, nil
}
