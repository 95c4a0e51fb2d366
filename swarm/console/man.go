package console

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand prints one page or writes all.
func (a *App) manCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man [COMMAND...]",
		Short: "Print a man page, or write all of them to a directory",
		Example: "  " + a.Env.Name + " man | man -l -\n" +
			"  " + a.Env.Name + " man --dir /usr/local/share/man/man1",
		Args: a.Args(0, -1, ""),
		RunE: func(_ *cobra.Command, words []string) error {
			if dir != "" {
				if len(words) > 0 {
					return Usagef("leave out --dir to print one page", "--dir writes all pages, and %q is one", strings.Join(words, " "))
				}
				return a.writeManPages(a.Env.Path(dir))
			}
			target, err := a.find(words)
			if err != nil {
				return err
			}
			page, err := a.manPage(target)
			if err != nil {
				return err
			}
			_, err = a.Env.Stdout.Write(page)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write every page into this directory")
	return cmd
}

func (a *App) manPage(cmd *cobra.Command) ([]byte, error) {
	cmd.InitDefaultHelpFlag()
	now := a.Env.Now()
	var b bytes.Buffer
	err := doc.GenMan(cmd, &doc.GenManHeader{
		Title: strings.ToUpper(strings.ReplaceAll(cmd.CommandPath(), " ", "-")), Section: "1",
		Date: &now, Source: strings.TrimSpace("Handful " + buildVersion().Version), Manual: "Handful",
	}, &b)
	if err != nil {
		return nil, fmt.Errorf("make the man page of %s: %w", cmd.CommandPath(), err)
	}
	return b.Bytes(), nil
}

func (a *App) writeManPages(dir string) error {
	if a.Common.DryRun {
		a.Out().Print(Plan{Action: "write", Name: "man pages", Path: dir})
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return walk(a.Root, func(cmd *cobra.Command) error {
		a.complete(cmd)
		page, err := a.manPage(cmd)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
		if err := os.WriteFile(path, page, 0o644); err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.Env.Stdout, path)
		return err
	})
}

// walk visits every command that is offered, topics included.
func walk(cmd *cobra.Command, visit func(*cobra.Command) error) error {
	if err := visit(cmd); err != nil {
		return err
	}
	for _, sub := range cmd.Commands() {
		// The generator of pages adds a help command to every group.
		if sub.Hidden || sub.Deprecated != "" || sub.Name() == "help" && cmd.HasParent() {
			continue
		}
		if err := walk(sub, visit); err != nil {
			return err
		}
	}
	return nil
}
