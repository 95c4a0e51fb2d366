package main

import (
	"github.com/spf13/cobra"

	"handful/swarm/console"
)

// tree builds the commands of seed for an environment. A first argument that is
// no command is a path to publish.
func tree(env *console.Env) *console.App {
	root := &cobra.Command{
		Use:   "seed PATH...",
		Short: "Publish files and directories to a swarm",
		Long: `Seed publishes files and directories: it hashes them once, signs what was
published, prints one link, and keeps sending until it is stopped. Whoever has the
link runs "fetch LINK". The files are served where they are and never touched.

"seed PATH" is short for "seed publish PATH".`,
		Example: "  seed ./holiday.mp4\n  seed publish --title 'Spring catalogue' ./catalogue\n  seed try",
	}
	a := console.NewApp(env, root)
	serve := serveCommand(a)
	publish := &cobra.Command{Use: "publish PATH...", Short: "Publish files or directories and keep seeding them"}
	setPublish(a, root, serve)
	setPublish(a, publish, serve)
	root.AddCommand(publish, postCommand(a, serve), feedCommand(a, serve), serve, lsCommand(a), statusCommand(a), withdrawCommand(a), exportCommand(a), keyCommand(a), tryCommand(a),
		initCommand(a), rootCommand(a), signCommand(a), cosignCommand(a), writerCommand(a), repairCommand(a), readerCommand(a, serve), rekeyCommand(a, serve))
	return a
}
