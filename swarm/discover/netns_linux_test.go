package discover

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The tests of this file make network namespaces, run this test binary in them as
// [TestNodeInNamespace], and watch what the nodes hear of each other. Nothing is
// ever sent in the namespace that the tests were started in.

const (
	nodeEnv   = "HANDFUL_TEST_NODE"   // port of the node to be; what is run is a node
	ifacesEnv = "HANDFUL_TEST_IFACES" // names, separated by spaces
)

var nsHash = [20]byte{0xaa, 0xbb}

// TestNodeInNamespace is a node, when it is run by another test: it prints what it
// hears until its standard input ends.
func TestNodeInNamespace(t *testing.T) {
	port, err := strconv.ParseUint(os.Getenv(nodeEnv), 10, 16)
	if err != nil {
		t.Skip("run by the other tests of this file")
	}
	e := newEar(t, strings.Fields(os.Getenv(ifacesEnv))...)
	announce(t, e, uint16(port), nsHash)
	if err := e.Offer(fmt.Appendf(nil, "offer-%d", port)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		io.Copy(io.Discard, os.Stdin)
	}()
	for peers, offers := 0, 0; ; {
		e.mu.Lock()
		changed := e.changed
		for ; peers < len(e.peers); peers++ {
			fmt.Println("heard", e.peers[peers].peer, e.peers[peers].ifname)
		}
		for ; offers < len(e.offers); offers++ {
			fmt.Println("heard", e.offers[offers].payload, e.offers[offers].ifname)
		}
		e.mu.Unlock()
		select {
		case <-ended:
			return
		case <-changed:
		}
	}
}

// nsNode is such a node as its parent sees it.
type nsNode struct {
	name    string
	mu      sync.Mutex
	lines   []string
	output  []string
	changed chan struct{}
}

// startNode starts a node in a namespace on the given interfaces, or on all.
func startNode(t *testing.T, ns string, port uint16, ifnames ...string) *nsNode {
	t.Helper()
	n := &nsNode{name: fmt.Sprintf("node %d in %s", port, ns), changed: make(chan struct{})}
	cmd := exec.Command("ip", "netns", "exec", ns, os.Args[0], "-test.run=^TestNodeInNamespace$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", nodeEnv, port), ifacesEnv+"="+strings.Join(ifnames, " "))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			n.mu.Lock()
			n.output = append(n.output, s.Text())
			if line, ok := strings.CutPrefix(s.Text(), "heard "); ok {
				n.lines = append(n.lines, line)
			}
			close(n.changed)
			n.changed = make(chan struct{})
			n.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		stdin.Close()
		<-read
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("%s: %v\n%s", n.name, err, strings.Join(n.output, "\n"))
		}
	})
	return n
}

// waits until the node has heard a line that ok accepts, and returns it.
func (n *nsNode) waits(t *testing.T, what string, ok func(line string) bool) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		n.mu.Lock()
		i := slices.IndexFunc(n.lines, ok)
		var line string
		if i >= 0 {
			line = n.lines[i]
		}
		changed := n.changed
		n.mu.Unlock()
		if i >= 0 {
			return line
		}
		select {
		case <-changed:
		case <-timeout:
			n.mu.Lock()
			defer n.mu.Unlock()
			t.Fatalf("%s did not hear %s in %s, only %q", n.name, what, patience, n.lines)
		}
	}
}

func (n *nsNode) hears(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		n.waits(t, line, func(l string) bool { return l == line })
	}
}

// deaf fails if the node has heard anything that contains text.
func (n *nsNode) deaf(t *testing.T, text string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.lines {
		if strings.Contains(l, text) {
			t.Errorf("%s heard %q", n.name, l)
		}
	}
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// namespaces makes n namespaces in which only loopback is up.
func namespaces(t *testing.T, n int, ipv6 bool) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the program ip (iproute2) is not installed")
	}
	var all []string
	for i := range n {
		ns := fmt.Sprintf("hfd-%d-%s-%d", os.Getpid(), strings.TrimPrefix(t.Name(), "TestNamespace"), i)
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("network namespaces cannot be made here: %v: %s", err, out)
		}
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		if !ipv6 {
			ip(t, "netns exec "+ns+" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
		}
		ip(t, "-n "+ns+" link set lo up")
		all = append(all, ns)
	}
	return all
}

// cable joins two namespaces by a link whose ends have the given name and
// addresses. No route but that of the prefix is made.
func cable(t *testing.T, a, nameA, addrA, b, nameB, addrB string) {
	t.Helper()
	ip(t, fmt.Sprintf("link add %s netns %s type veth peer name %s netns %s", nameA, a, nameB, b))
	for _, end := range [][3]string{{a, nameA, addrA}, {b, nameB, addrB}} {
		if end[2] != "" {
			ip(t, fmt.Sprintf("-n %s addr add %s dev %s", end[0], end[2], end[1]))
		}
		ip(t, fmt.Sprintf("-n %s link set dev %s up", end[0], end[1]))
	}
}

func TestNamespaceWithoutDefaultRoute(t *testing.T) {
	t.Parallel()
	ns := namespaces(t, 2, false)
	cable(t, ns[0], "left", "10.77.0.1/24", ns[1], "right", "10.77.0.2/24")
	a, b := startNode(t, ns[0], 7001), startNode(t, ns[1], 7002)
	a.hears(t, "10.77.0.2:7002 left", "offer-7002 left")
	b.hears(t, "10.77.0.1:7001 right", "offer-7001 right")
}

func TestNamespaceV6Only(t *testing.T) {
	t.Parallel()
	ns := namespaces(t, 2, true)
	cable(t, ns[0], "left", "fd77::1/64", ns[1], "right", "fd77::2/64")
	a, b := startNode(t, ns[0], 7001), startNode(t, ns[1], 7002)
	// Which of its two addresses a node sends from is the system's choice.
	for _, side := range []struct {
		node           *nsNode
		ifname, global string
	}{{a, "left", "[fd77::2]:7002"}, {b, "right", "[fd77::1]:7001"}} {
		line := side.node.waits(t, "its neighbour on "+side.ifname, func(l string) bool {
			return strings.HasSuffix(l, " "+side.ifname) && !strings.HasPrefix(l, "offer")
		})
		addr := netip.MustParseAddrPort(strings.Fields(line)[0])
		if addr.String() != side.global && addr.Addr().Zone() != side.ifname {
			t.Errorf("%s heard %q: neither %s nor link-local with the interface as zone", side.node.name, line, side.global)
		}
		side.node.hears(t, "offer-"+side.global[len(side.global)-4:]+" "+side.ifname)
	}
}

func TestNamespaceLinkLocalOnly(t *testing.T) {
	t.Parallel()
	ns := namespaces(t, 2, true)
	cable(t, ns[0], "left", "", ns[1], "right", "")
	a, b := startNode(t, ns[0], 7001), startNode(t, ns[1], 7002)
	for node, want := range map[*nsNode][2]string{a: {"%left]:7002 left", "offer-7002 left"}, b: {"%right]:7001 right", "offer-7001 right"}} {
		node.waits(t, want[0], func(l string) bool { return strings.HasPrefix(l, "[fe80::") && strings.HasSuffix(l, want[0]) })
		node.hears(t, want[1])
	}
}

func TestNamespaceWithLoopbackOnly(t *testing.T) {
	t.Parallel()
	ns := namespaces(t, 1, true)[0]
	a, b := startNode(t, ns, 7001), startNode(t, ns, 7002)
	a.hears(t, "127.0.0.1:7002 lo", "offer-7002 lo")
	b.hears(t, "127.0.0.1:7001 lo", "offer-7001 lo")
	a.deaf(t, "7001")
	b.deaf(t, "7002")
}

func TestNamespaceInterfaceComesAndGoes(t *testing.T) {
	t.Parallel()
	ns := namespaces(t, 3, false)
	a, b := startNode(t, ns[0], 7001), startNode(t, ns[1], 7002)
	cable(t, ns[0], "left", "10.77.0.1/24", ns[1], "right", "10.77.0.2/24")
	a.hears(t, "10.77.0.2:7002 left")
	b.hears(t, "10.77.0.1:7001 right", "offer-7001 right")
	// The link goes, and another one comes under the same name.
	ip(t, "-n "+ns[0]+" link del left")
	cable(t, ns[0], "left", "10.78.0.1/24", ns[2], "right", "10.78.0.3/24")
	c := startNode(t, ns[2], 7003)
	c.hears(t, "10.78.0.1:7001 right", "offer-7001 right")
	a.hears(t, "10.78.0.3:7003 left")
	b.deaf(t, "7003")
}

func TestNamespaceTwoInterfaces(t *testing.T) {
	t.Parallel()
	ns := namespaces(t, 3, false)
	cable(t, ns[0], "one", "10.77.1.1/24", ns[1], "up", "10.77.1.2/24")
	cable(t, ns[0], "two", "10.77.2.1/24", ns[2], "up", "10.77.2.2/24")
	a, b, c := startNode(t, ns[0], 7001), startNode(t, ns[1], 7002), startNode(t, ns[2], 7003)
	a.hears(t, "10.77.1.2:7002 one", "10.77.2.2:7003 two")
	b.hears(t, "10.77.1.1:7001 up", "offer-7001 up")
	c.hears(t, "10.77.2.1:7001 up", "offer-7001 up")
	b.deaf(t, "7003")
	c.deaf(t, "7002")
}

// TestNamespaceRestricted counts the frames that leave an interface which is up,
// has an address, and is not to be used.
func TestNamespaceRestricted(t *testing.T) {
	t.Parallel()
	ns := namespaces(t, 3, false)
	cable(t, ns[0], "used", "10.77.1.1/24", ns[1], "up", "10.77.1.2/24")
	cable(t, ns[0], "unused", "10.77.2.1/24", ns[2], "up", "10.77.2.2/24")
	before := sentFrames(t, ns[0])
	a := startNode(t, ns[0], 7001, "used")
	b, c := startNode(t, ns[1], 7002), startNode(t, ns[2], 7003)
	b.hears(t, "10.77.1.1:7001 up", "offer-7001 up")
	a.hears(t, "10.77.1.2:7002 used", "offer-7002 used")
	// c has been calling on its end all the while; a second neighbour of a's,
	// answered by now, shows that whatever a would send it has sent.
	d := startNode(t, ns[1], 7004)
	d.hears(t, "10.77.1.1:7001 up", "offer-7001 up")
	after := sentFrames(t, ns[0])
	if after["used"] <= before["used"] {
		t.Errorf("frames sent on the interface in use: %d before, %d after", before["used"], after["used"])
	}
	if after["unused"] != before["unused"] {
		t.Errorf("%d frames left the interface that is not in use", after["unused"]-before["unused"])
	}
	a.deaf(t, "7003")
	c.deaf(t, "7001")
}

// sentFrames returns the number of frames sent by interface.
func sentFrames(t *testing.T, ns string) map[string]int {
	t.Helper()
	out, err := exec.Command("ip", "netns", "exec", ns, "cat", "/proc/net/dev").Output()
	if err != nil {
		t.Fatal(err)
	}
	sent := make(map[string]int)
	for line := range strings.Lines(string(out)) {
		name, counters, ok := strings.Cut(line, ":")
		if f := strings.Fields(counters); ok && len(f) == 16 {
			n, err := strconv.Atoi(f[9])
			if err != nil {
				t.Fatal(err)
			}
			sent[strings.TrimSpace(name)] = n
		}
	}
	return sent
}
