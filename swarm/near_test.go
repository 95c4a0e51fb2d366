package swarm

import (
	"net/netip"
	"testing"

	"handful/manifest"
	"handful/swarm/discover"
	"handful/swarm/policy"
)

// TestBlindNodeCountsEverythingFar: a node that is blind to tiers takes its neighbours on loopback for far ones; the
// origin stays the origin, because grants do not depend on nearness.
func TestBlindNodeCountsEverythingFar(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 600_000)
	origin := startNode(t, "origin", nil)
	tor, seed := origin.publish(t, root, manifest.BuildOptions{})
	first := startNode(t, "first", nil)
	sighted := first.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	await(t, sighted)
	if err := seed.Remove(); err != nil {
		t.Fatal(err)
	}
	blind := startNode(t, "blind", func(c *Config) { c.Blind = true })
	it := blind.fetch(t, Infohash(tor.InfoHash()), nil, first.addr())
	await(t, it)
	s := it.Snapshot()
	if s.Received[TierFar] != s.Received.Total() {
		t.Errorf("received %v, want all of it far", s.Received)
	}
	if got := sighted.Snapshot(); got.Received[TierOrigin] != got.Received.Total() {
		t.Errorf("received %v, want all of it from the origin", got.Received)
	}
	adds(t, s)
}

func TestTiers(t *testing.T) {
	for _, c := range []struct {
		s    nearness
		want Tier
	}{
		{nearness{}, TierFar},
		{nearness{own: true, linked: true}, TierLink},
		{nearness{linked: true}, TierLink},
		{nearness{own: true, linked: true, sameMachine: true}, TierHost},
		{nearness{linked: true, sameMachine: true}, TierLink}, // the same id from elsewhere is a claim
		{nearness{sameMachine: true}, TierFar},
		{nearness{own: true, here: "berlin", there: "berlin"}, TierLink},
		{nearness{linked: true, here: "berlin", there: "paris"}, TierLink},
		{nearness{here: "berlin", there: "berlin"}, TierSite},
		{nearness{here: "berlin", there: "paris"}, TierFar},
		{nearness{here: "berlin"}, TierFar},
		{nearness{there: "berlin"}, TierFar}, // no label is no site
		{nearness{quick: true}, TierSite},
		{nearness{quick: true, here: "berlin"}, TierSite},
		{nearness{quick: true, there: "berlin"}, TierSite},
		{nearness{quick: true, here: "berlin", there: "berlin"}, TierSite},
		{nearness{quick: true, here: "berlin", there: "paris"}, TierFar}, // two sites in one town
		{nearness{quick: true, linked: true}, TierLink},
		{nearness{quick: true, own: true, sameMachine: true}, TierHost},
		{nearness{origin: true}, TierOrigin},
		{nearness{origin: true, own: true, linked: true, sameMachine: true, quick: true, here: "berlin", there: "berlin"}, TierOrigin},
	} {
		if got := c.s.tier(); got != c.want {
			t.Errorf("%+v: %v", c.s, got)
		}
	}
}

// loopback returns the names of the loopback interfaces: for a node on them alone, all addresses elsewhere are far.
func loopback(t *testing.T) (names []string) {
	links, err := discover.ScanLinks(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Loopback {
			names = append(names, l.Name)
		}
	}
	return names
}

// TestSiteMapInNode: the map names this node's site by its interfaces, and a peer's whatever that says itself; --site
// wins over the map for this node alone.
func TestSiteMapInNode(t *testing.T) {
	t.Parallel()
	m, err := policy.ParseSiteMap([]byte("127.0.0.0/8 berlin\n192.0.2.0/24 berlin\n198.51.100.0/24 paris\n"))
	if err != nil {
		t.Fatal(err)
	}
	mapped := startNode(t, "mapped", func(c *Config) { c.SiteMap, c.Interfaces = m, loopback(t) })
	named := startNode(t, "named", func(c *Config) { c.SiteMap, c.Site, c.Interfaces = m, "paris", loopback(t) })
	for n, want := range map[*testNode][3]Tier{
		mapped: {TierSite, TierFar, TierFar}, // in the map as berlin, in the map as paris, and not in the map, saying paris
		named:  {TierFar, TierSite, TierSite},
	} {
		n.call(func() {
			for i, addr := range []string{"192.0.2.7:1", "198.51.100.7:1", "203.0.113.7:1"} {
				l := &link{remote: netip.MustParseAddrPort(addr), item: &Item{}, hello: &hello{Site: "paris"}}
				n.retier(l)
				if got := Tier(l.tier.Load()); got != want[i] {
					t.Errorf("at %q a peer at %s is %v, want %v", n.site, addr, got, want[i])
				}
			}
		})
	}
}

// TestNodeTellsItsMappedSite: what the map says of this node is what its peers hear.
func TestNodeTellsItsMappedSite(t *testing.T) {
	t.Parallel()
	m, err := policy.ParseSiteMap([]byte("0.0.0.0/0 berlin"))
	if err != nil {
		t.Fatal(err)
	}
	root := tree(t, t.TempDir(), 100_000)
	origin := startNode(t, "origin", func(c *Config) { c.SiteMap = m })
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	until(t, "the origin's site is heard", func() (heard bool) {
		leech.call(func() {
			for _, l := range it.links {
				heard = heard || l.hello != nil && l.hello.Site == "berlin"
			}
		})
		return heard
	})
}
