// Package house holds the rules of how this module is built, as a test. There is nothing in it to import.
//
// The test reads every Go file of the module with go/parser, for all systems at once, and needs neither the network nor the
// sources of other modules. A finding names file, line and rule, and says what the rule asks for.
//
// # Rules
//
//	layers      a package imports only those below it: manifest, signing and swarm/policy know nobody (but manifest and
//	            signing the leaf manifest/bencode), then discover, tracker, store, keyfile, install and feed; swarm; channel;
//	            publish, follow and stream; dash and console; cmd and bench. A new package is added to the list first.
//	pure        manifest, signing and swarm/policy have no clock, no randomness, no log, no network; files are read by
//	            manifest's Build alone. What they need of the world is passed in.
//	engine      the torrent engine is imported by few, its Client is known to one file, and none of its types stands in an
//	            exported signature: it can be replaced by changing package swarm.
//	doc         a package says in more than one line what it does.
//	size        files have at most 500 lines, functions 80, the main.go of a command 60; tests too.
//	name        nothing is named util, misc, common or helper: such a file has no subject.
//	sleep       a test waits for the event, it does not sleep, except on the simulated clock of testing/synctest.
//
// # Exceptions
//
// A rule that does not hold at one place has an entry in the table of exceptions, with the reason. An entry that is no
// longer needed is a finding as well.
package house
