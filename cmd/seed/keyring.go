package main

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"handful/signing"
	"handful/signing/durable"
	"handful/signing/keyfile"
	"handful/swarm/console"
)

// keyOffline moves the root key to another place.
func keyOffline(a *console.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "offline FILE",
		Short: "Move the root key of a channel to another place",
		Long: `Offline writes the root key to a new file, on a stick say, reads it back, and removes it
here. Publishing goes on as before. To change the root document later, run
"seed root edit", sign N.root.payload where the key is ("seed sign --key FILE"), and hand
the signature to "seed root add". Make an export as well: a lost root key cannot be made
again, and without it a stolen online key cannot be replaced.

Exit status: 0, 1, 10 (no root key is here), 11, 14 (FILE exists or cannot be written).`,
		Args: a.Args(1, 1, "the file to write"),
	}
	channel := channelFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return editBook(cmd.Context(), a, *channel, ".", func(b *book) error {
			if err := b.needKeys(); err != nil {
				return err
			}
			if b.keys.Root == nil {
				return &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("the root key of channel %s is not here", b.id), Hint: "it was moved before, or others hold it"}
			}
			path := a.Env.Path(args[0])
			if a.Common.DryRun {
				a.Out().Print(console.Plan{Action: "export", Name: b.id.String(), Path: path, Files: 1})
				return nil
			}
			if err := moveRoot(b, path); err != nil {
				return err
			}
			a.Out().Print(console.Exported{Channel: b.id.String(), Path: path, Keys: []string{"root"}, Moved: true})
			return nil
		})
	}
	return cmd
}

func moveRoot(b *book, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return &console.Fault{Code: console.NoSpace, Message: "move the root key: " + path + " is there already", Hint: "name a new file"}
	}
	if err := keyfile.WriteKey(path, b.keys.Root); err != nil {
		return fmt.Errorf("move the root key: %w", err)
	}
	text, err := durable.ReadFile(durable.OS{}, path, 16<<10)
	if err != nil {
		return fmt.Errorf("move the root key: %w", err)
	}
	read, err := keyfile.ParseSigner(text)
	if err != nil {
		return fmt.Errorf("move the root key: %w", err)
	}
	if !b.keys.Root.Public().(ed25519.PublicKey).Equal(read.Public()) {
		return errors.New("move the root key: what was written reads otherwise; the key stays here")
	}
	b.keys, err = b.keys.WithoutRoot(keysDir(b.stateDir))
	return err
}

// keyRotate replaces the key that signs what is published.
func keyRotate(a *console.App) *cobra.Command {
	var dht bool
	var out string
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the key that signs what is published",
		Long: `Rotate makes a new online key, and proposes a root document that names it in place of
the one that is here, in all its roles. With the root key here it is in force at once; else
it waits for signatures, and the old key is used until then. What was published stays.
If the old key may be in other hands use "seed key compromise".

Exit status: 0, 1, 10 (no online key is here), 11, 14.`,
		Args: a.Args(0, 0, ""),
	}
	channel := channelFlag(cmd)
	cmd.Flags().BoolVar(&dht, "dht-too", false, "replace the key for the DHT as well")
	cmd.Flags().StringVarP(&out, "output", "o", ".", "directory for the bytes to sign")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return editBook(cmd.Context(), a, *channel, out, func(b *book) error {
			e, err := b.rotation(a, dht)
			if err != nil {
				return err
			}
			return b.editRoot(a, e)
		})
	}
	return cmd
}

// rotation is the edit that replaces the online key.
func (b *book) rotation(a *console.App, dht bool) (e signing.RootEdit, err error) {
	if err := b.needKeys(); err != nil {
		return e, err
	}
	if b.keys.Online == nil {
		return e, &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("the key that signs heads of channel %s is not here", b.id), Hint: "use `seed root edit --drop-head … --add-head …`"}
	}
	root := b.keys.Newest()
	old, err := signing.NewKey(b.keys.Online.Public())
	if err != nil {
		return e, err
	}
	var key, dhtKey ed25519.PrivateKey
	if a.Common.DryRun { // nothing is kept
		key, dhtKey = ed25519.NewKeyFromSeed(make([]byte, 32)), ed25519.NewKeyFromSeed(make([]byte, 32))
	} else if key, err = b.next.newKey("head"); err != nil {
		return e, err
	}
	e.Timestamp = replace(root, signing.RoleTimestamp, old, key)
	e.Targets = replace(root, signing.RoleTargets, old, key)
	if dht && root.DHTKey() != nil {
		if !a.Common.DryRun {
			if dhtKey, err = b.next.newKey("dht"); err != nil {
				return e, err
			}
		}
		e.DHT = dhtKey.Public().(ed25519.PublicKey)
	}
	return e, nil
}

// replace is the edit of a role that has another key in the place of one.
func replace(root *signing.Root, role string, old signing.Key, by ed25519.PrivateKey) (e signing.RoleEdit) {
	for _, k := range root.Role(role).Keys {
		if k.Equal(old) {
			e.Drop = append(e.Drop, k.ID())
			e.Add = []crypto.PublicKey{by.Public()}
		}
	}
	return e
}

// keyCompromise replaces the online key and takes back what its thief published.
func keyCompromise(a *console.App) *cobra.Command {
	var good, out string
	cmd := &cobra.Command{
		Use:   "compromise --good N",
		Short: "Replace a stolen online key, and take back what was published with it",
		Long: `Compromise is for when somebody else has the online key. It replaces that key and the key
for the DHT, and takes the log back to its first N entries, those that are yours: followers
mark what came after as withdrawn. With the root key here it is in force at once; else it
waits for signatures. Entries that are taken back are kept in the log's directory. Writers
whom you have granted are granted again.

Exit status: 0, 1, 2, 10, 11, 14.`,
		Example: "  seed key compromise --good 41",
		Args:    a.Args(0, 0, ""),
	}
	channel := channelFlag(cmd)
	cmd.Flags().StringVar(&good, "good", "", "how many of the first entries are good")
	cmd.Flags().StringVarP(&out, "output", "o", ".", "directory for the bytes to sign")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := strconv.ParseInt(good, 10, 64); err != nil {
			return console.Usagef("--good 0 takes all back", "say with --good how many of the first entries are good")
		}
		return editBook(cmd.Context(), a, *channel, out, func(b *book) error {
			e, err := b.rotation(a, true)
			if err != nil {
				return err
			}
			base, err := b.base(signing.MainWriter, good)
			if err != nil {
				return err
			}
			e.Base = map[string]signing.Base{signing.MainWriter: base}
			return b.editRoot(a, e)
		})
	}
	return cmd
}

// keyRevoke drops a key from all roles.
func keyRevoke(a *console.App) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "revoke KEY",
		Short: "Propose a root document that names a key no more",
		Long: `Revoke drops a key, a file of its public half or the first digits of its id, from every
role in which the root document names it. Where too few keys would be left, replace it with
"seed root edit" or "seed key rotate" instead.

Exit status: 0, 1, 2, 10 (no role has this key), 11, 14.`,
		Args: a.Args(1, 1, "the key"),
	}
	channel := channelFlag(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", ".", "directory for the bytes to sign")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := keyIDs(a, args)
		if err != nil {
			return err
		}
		return editBook(cmd.Context(), a, *channel, out, func(b *book) error {
			if err := b.needKeys(); err != nil {
				return err
			}
			var e signing.RootEdit
			found := false
			for role, to := range map[string]*signing.RoleEdit{signing.RoleRoot: &e.Root, signing.RoleTargets: &e.Targets, signing.RoleTimestamp: &e.Timestamp} {
				for _, k := range b.keys.Newest().Role(role).Keys {
					if len(ids[0]) <= len(k.ID()) && k.ID()[:len(ids[0])] == ids[0] {
						to.Drop, found = append(to.Drop, k.ID()), true
					}
				}
			}
			if !found {
				return &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("the root document names no key %s", args[0]), Hint: "see `seed root show`"}
			}
			return b.editRoot(a, e)
		})
	}
	return cmd
}
