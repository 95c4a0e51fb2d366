package console

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"handful/swarm/policy"
)

// EnvPrefix begins the name of every variable that is a flag's twin.
const EnvPrefix = "HANDFUL_"

// Common are the options of every command.
type Common struct {
	JSON     bool
	Quiet    bool
	Verbose  int    // 0 warnings, 1 what the node does, 2 everything
	DryRun   bool   // say what would be done and write nothing
	StateDir string // as given; Env.StateDir resolves it
}

func (c *Common) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&c.JSON, "json", false, "print JSON Lines on stdout (see help json)")
	f.BoolVarP(&c.Quiet, "quiet", "q", false, "print results, warnings and errors only")
	f.CountVarP(&c.Verbose, "verbose", "v", "log what is done; twice: everything")
	f.BoolVarP(&c.DryRun, "dry-run", "n", false, "say what would be done, write nothing")
	f.Var(&checkedValue{one: &c.StateDir, kind: "DIR", check: anyText}, "state-dir", "directory of keys, state and lock (default $STATE_DIRECTORY, else the user's state directory)")
}

// Node are the options that shape a whole node. A command that is handed to a
// running node cannot change them; see WithNode.
type Node struct {
	Listen    string   // HOST:PORT; empty: the first free port of 6881–6889
	Site      string   // label of the site this node is at; empty: none
	SiteMap   string   // file that tells sites by addresses; empty: none
	Ifaces    []string // names of the interfaces that LSD uses; empty: all that are up
	LANOnly   bool     // talk to nobody beyond the interfaces' own prefixes
	DHT       bool     // take part in the DHT; not with LANOnly
	Bootstrap []string // HOST:PORT of nodes of the DHT to ask first; empty: the well-known ones
	LimitUp   Limit    // of the whole node
	LimitDown Limit    // of the whole node
	LimitLAN  bool     // the limits bind near peers too
	MachineID string   // what tells that two nodes share a machine; empty: the system's
	Blind     bool     // take all peers for equally near; for measurements
	Hidden    bool     // do not say that this machine's writers are around; only seed
	Handful   int      // how many peers an origin transfers to in any one second; only seed
}

const defaultHandful = 8

var nodeFlags = []string{"listen", "site", "site-map", "iface", "lan-only", "dht", "dht-bootstrap", "limit-up", "limit-down", "limit-lan", "machine-id", "blind-tiers", "handful", "hidden"}

// AddFlags adds the node's flags; handful only for a binary that publishes.
func (n *Node) AddFlags(f *pflag.FlagSet, publishes bool) {
	f.Var(&checkedValue{one: &n.Listen, kind: "HOST:PORT", check: checkHostPort(true)}, "listen", "address to listen on; port 0 picks one (default the first free port of 6881-6889)")
	f.Var(&checkedValue{one: &n.Site, kind: "LABEL", check: policy.CheckSite}, "site", "name of the site this machine is at: peers with the same name are near")
	f.Var(&checkedValue{one: &n.SiteMap, kind: "FILE", check: anyText}, "site-map", "file of lines \"10.1.0.0/16 LABEL\": the sites of peers by address, and this machine's without --site")
	f.Var(&checkedValue{many: &n.Ifaces, kind: "NAME", check: checkText}, "iface", "interface for local discovery; repeatable (default all that are up)")
	f.BoolVar(&n.LANOnly, "lan-only", false, "talk to nobody beyond the networks of this machine's interfaces")
	f.BoolVar(&n.DHT, "dht", true, "find peers and news through the DHT, and help others to; off with --lan-only and for what is private")
	f.Var(&checkedValue{many: &n.Bootstrap, kind: "HOST:PORT,...", check: checkHostPort(false)}, "dht-bootstrap", "nodes of the DHT to ask first, instead of the public ones: with those of a company it has a DHT of its own")
	f.Var(&n.LimitUp, "limit-up", "most bytes a second to send beyond the near peers: 500K, 5M, 1G (= 1024), or by the time of day: \"08:00,1M 19:00,off\", \"mon-fri 08:00,1M 19:00,off\"")
	f.Var(&n.LimitDown, "limit-down", "most bytes a second to receive, in the same words")
	f.BoolVar(&n.LimitLAN, "limit-lan", false, "the limits bind peers on this machine, network and site as well")
	f.Lookup("limit-up").DefValue, f.Lookup("limit-down").DefValue = "", ""
	f.Var(&checkedValue{one: &n.MachineID, kind: "ID", check: checkText}, "machine-id", "what tells nodes of one machine from others (default the system's id)")
	f.BoolVar(&n.Blind, "blind-tiers", false, "treat all peers as equally near; for measurements")
	f.Lookup("blind-tiers").Hidden = true // of no use to anybody but bench
	if publishes {
		n.Handful = defaultHandful
		f.BoolVar(&n.Hidden, "hidden", false, "do not tell the members of your channels that you are around")
		f.Var(rangeValue{&n.Handful, 1, 1024}, "handful", "how many peers the origin sends to in any one second")
	}
}

// Peering are the options that say whom one command may ask. A running node
// takes them over with the command.
type Peering struct {
	Peers    []string // HOST:PORT
	Trackers []string // http, https and udp URLs
	WebSeeds []string // http and https URLs: mirrors of a channel, web seeds of a torrent
}

// AddFlags adds --peer, --tracker and --webseed.
func (p *Peering) AddFlags(f *pflag.FlagSet) {
	f.Var(&checkedValue{many: &p.Peers, kind: "HOST:PORT", check: checkHostPort(false)}, "peer", "a peer to try; repeatable")
	f.Var(&checkedValue{many: &p.Trackers, kind: "URL", check: checkTracker}, "tracker", "a tracker to announce to; repeatable")
	f.Var(&checkedValue{many: &p.WebSeeds, kind: "URL", check: checkWeb}, "webseed", "a web server that has the channel (see seed export) or the files; repeatable")
}

// Stay are the options that end a command: for want of progress, or of further
// need to seed. Which of the two the command has is its own choice.
type Stay struct {
	Timeout time.Duration // without progress; 0: for ever
	For     time.Duration // how long to seed after it is done; 0: leave at once
	Ratio   float64       // leave when so many copies were given back; 0: no such limit
}

// DefaultTimeout is how long a command waits without progress: for ever when a
// person watches, else 60 s.
func DefaultTimeout(env *Env) time.Duration {
	if env.Terminal() {
		return 0
	}
	return time.Minute
}

// DefaultSeedFor is how long a fetch seeds afterwards: 10 minutes when a person
// watches, else not at all.
func DefaultSeedFor(env *Env) time.Duration {
	if env.Terminal() {
		return 10 * time.Minute
	}
	return 0
}

// AddTimeout adds --timeout.
func (s *Stay) AddTimeout(f *pflag.FlagSet, env *Env) {
	s.Timeout = DefaultTimeout(env)
	f.Var(spanValue{&s.Timeout}, "timeout", "give up after so long without progress; 0 = never (default never on a terminal, else 60s)")
	f.Lookup("timeout").DefValue = ""
}

// AddSeeding adds --seed-for and --seed-ratio.
func (s *Stay) AddSeeding(f *pflag.FlagSet, env *Env) {
	s.For = DefaultSeedFor(env)
	f.Var(spanValue{&s.For}, "seed-for", "keep seeding for so long afterwards; 0 = leave at once (default 10m on a terminal, else 0)")
	f.Lookup("seed-for").DefValue = ""
	f.Float64Var(&s.Ratio, "seed-ratio", 0, "stop seeding when so many copies were given back; 0 = no such limit")
}

// EnvName returns the variable that is a flag's twin.
func EnvName(flag string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// notTwinned are flags that ask for something else than the command.
var notTwinned = []string{"help", "version"}

// applyEnv sets every flag that was not given from its variable.
func applyEnv(env *Env, f *pflag.FlagSet) (err error) {
	f.VisitAll(func(flag *pflag.Flag) {
		if err != nil || flag.Changed || slices.Contains(notTwinned, flag.Name) {
			return
		}
		name := EnvName(flag.Name)
		value, ok := env.Lookup(name)
		if !ok || value == "" {
			return
		}
		if e := f.Set(flag.Name, value); e != nil {
			// pflag's own text names the flag, which nobody wrote.
			if invalid, ok := errors.AsType[*pflag.InvalidValueError](e); ok {
				e = invalid.Unwrap()
			}
			err = Usagef(fmt.Sprintf("correct %s or unset it", name), "environment variable %s: %v", name, e)
		}
	})
	return err
}
