package console

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpCommand prints the help of a command, or a topic. Topics are below it, so
// that their names stay free for paths and links.
func (a *App) helpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "help [COMMAND | TOPIC]",
		Short: "Print the help of a command or a topic: exit-codes, json, environment, links",
		Args:  cobra.ArbitraryArgs,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			target, err := a.find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range target.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, words []string) error {
			target, err := a.find(words)
			if err != nil {
				return err
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
	}
	cmd.AddCommand(
		a.topic("exit-codes", "What the exit codes mean", exitCodeTopic()),
		a.topic("json", "What --json prints", jsonTopic()),
		a.topic("links", "What a link may be", linkTopic),
		a.topic("environment", "The variables behind the options", ""),
	)
	return cmd
}

// topic is a page of help under a name.
func (a *App) topic(name, short, text string) *cobra.Command {
	t := &cobra.Command{Use: name, Short: short, Long: text, DisableFlagsInUseLine: true, Args: a.Args(0, 0, "")}
	t.SetHelpTemplate("{{.Long}}\n")
	t.RunE = func(*cobra.Command, []string) error {
		a.complete(t)
		return t.Help()
	}
	return t
}

// complete writes the text of the one topic that depends on the whole tree.
func (a *App) complete(cmd *cobra.Command) {
	if cmd.Name() == "environment" {
		cmd.Long = a.environmentTopic()
	}
}

// find returns the command or topic that words name.
func (a *App) find(words []string) (*cobra.Command, error) {
	cmd := a.Root
	for i, w := range words {
		next := child(cmd, w)
		if next == nil && i == 0 {
			if help := child(a.Root, "help"); help != nil {
				next = child(help, w)
			}
		}
		if next == nil {
			hint := "see `" + a.Env.Name + " help`"
			if near := cmd.SuggestionsFor(w); len(near) > 0 {
				hint = "did you mean " + near[0] + "?"
			}
			return nil, Usagef(hint, "there is no command or topic %q", strings.Join(words[:i+1], " "))
		}
		cmd = next
	}
	a.complete(cmd)
	return cmd, nil
}

func child(cmd *cobra.Command, name string) *cobra.Command {
	for _, sub := range cmd.Commands() {
		if sub.Name() == name || sub.HasAlias(name) {
			return sub
		}
	}
	return nil
}

func exitCodeTopic() string {
	var b strings.Builder
	b.WriteString("Both binaries end with one of these codes. Any other code means failure.\n\n")
	for _, c := range ExitCodes() {
		fmt.Fprintf(&b, "    %3d  %s\n", c.Code, c.Text)
	}
	b.WriteString("\nWith --json the last line on stdout of a command that failed is an error object\nthat carries the code.")
	return b.String()
}

func jsonTopic() string {
	var b strings.Builder
	b.WriteString("With --json stdout carries one JSON object a line; its first member is the type.\n" +
		"Members may be added to a line and none is ever renamed or taken away: ignore what\nyou do not know. Sizes are bytes, rates bytes a second, times RFC 3339.\n\n")
	for _, l := range examples() {
		line, err := Encode(l)
		if err != nil {
			line = []byte(err.Error())
		}
		b.WriteString("    " + string(bytes.TrimSpace(line)) + "\n")
	}
	b.WriteString("\nprogress comes at most once a second. done comes before seeding. The last line\nof a command that failed is the error line.\n" + explainTopic)
	return b.String()
}

const explainTopic = `
"fetch explain" prints explained and then a piece line for each piece, in order. In
it, from, client, tier and bytes are of the peer that sent most of the piece (or is
to send it), and also has the others. state is received, reused (it was on disk),
expected (looked for at from) or missing. waited is seconds from when somebody was
known to have the piece until it was here, or until now. views is at how many nodes
of ours it was looked for. reason is why it was taken from there and not from nearer:

    nearest    nobody nearer had it
    granted    the origin granted it to this node
    delegate   nobody nearer had it, and this node brings it for its group
    turn       nobody nearer had it, and those before this node let their turn pass
    spill      kept_by, where it was looked for first, kept it waiting
    stalled    nothing came from anybody, so everybody was asked
    open       nobody nearer had it, and the peer is a client that knows no turns
    waits      missing: somebody has it, and this node waits for its turn or for room
    nobody     missing: nobody is known to have it

Of a torrent of more than 65536 pieces a line is about so many pieces of those from
index to last, and reason, waited, views and kept_by are of the one that waited longest.

"seed status" prints a granted line for each piece that was ever granted: to whom, the
first eight. An item's granted has the number of pieces granted never, once, twice, and
more often; leechers connected, served in the last second and ever; and copies sent.
received, wasted and granted of an item count from the start of the node.`

const linkTopic = `Wherever a command asks for a LINK it takes one of these:

    handful:ID                      a channel: its newest media or release
    handful:ID/WRITER/INDEX         one entry of a channel, as seed publish prints it
    magnet:?xt=urn:btih:…           a torrent, by its v1 or v2 infohash
    FILE.torrent                    a torrent's metainfo on disk
    https://…/FILE.torrent          the same, fetched from a web server
    -                               the link is read from stdin

ID is 40 characters, a-z and 2-7; its last ones are a checksum, so a typing error
is noticed. What follows a question mark is advice and never trusted:

    dn=NAME  tr=TRACKER  ws=URL  pe=HOST:PORT           each may be repeated
    pk=DHT KEY                                          where the DHT has the news

ws= of a channel is a web server with a mirror of it, as "seed export --http" makes one;
of a magnet, one with the files (BEP 19).

What follows "#k=" is the read key of a private channel, and a secret: pass such a
link on stdin, since others on the machine can see arguments.

A channel's link is verified against the publisher's key. Magnets and torrent files
are unsigned: their content is verified against the infohash, and nothing says who
published it.`

// environmentTopic lists every option with its variable, in the order of names.
func (a *App) environmentTopic() string {
	usage := map[string]string{}
	_ = walk(a.Root, func(cmd *cobra.Command) error {
		collect := func(f *pflag.Flag) {
			if !f.Hidden && !slices.Contains(notTwinned, f.Name) && cmd.Name() != "man" && !under(cmd, "completion") {
				usage[EnvName(f.Name)] = "--" + f.Name
			}
		}
		cmd.LocalFlags().VisitAll(collect)
		return nil
	})
	var b strings.Builder
	b.WriteString("Every option has a variable. The option wins over the variable, and the variable\nover the default; an empty variable is as good as none. A repeatable option's\nvariable is a list with commas.\n\n")
	for _, name := range slices.Sorted(maps.Keys(usage)) {
		fmt.Fprintf(&b, "    %-24s %s\n", name, usage[name])
	}
	b.WriteString(`
These are read too:

    STATE_DIRECTORY          where state goes when --state-dir is not given (systemd sets it)
    XDG_STATE_HOME           else its directory handful; unset, ~/.local/state/handful
    XDG_RUNTIME_DIR          where the control socket goes when the state directory's path is too long
    NO_COLOR                 when set, no colours
    TERM                     "dumb": no bars`)
	return b.String()
}

func under(cmd *cobra.Command, name string) bool {
	for ; cmd != nil; cmd = cmd.Parent() {
		if cmd.Name() == name {
			return true
		}
	}
	return false
}
