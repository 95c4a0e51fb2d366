package swarm

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"handful/swarm/policy"
)

// statusPath is where the node's port tells programs of this machine what it moves.
const statusPath = "/status"

// serveStatus answers GET /status with JSON: who asks over loopback may know what the
// control socket tells only to this user, less the paths on disk. Everybody else is
// told that there is nothing. A page in a browser, which may reach loopback by a name of
// its own (DNS rebinding), is refused by the name it asks for.
func (n *Node) serveStatus(w http.ResponseWriter, r *http.Request) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		http.NotFound(w, r)
		return
	}
	if !loopbackHost(r.Host) {
		http.Error(w, "ask for http://127.0.0.1:PORT/status", http.StatusForbidden)
		return
	}
	got := make(chan Snapshot, 1)
	listen := n.Addrs()
	var messages trafficJSON
	if !n.mail.post(func() {
		for _, it := range n.items {
			if it.gossip != nil {
				sent, received := it.gossip.Traffic()
				messages.Sent += sent
				messages.Received += received
			}
		}
		got <- Snapshot{Listen: listen, Items: n.itemSnapshots()}
	}) {
		http.Error(w, ErrClosed.Error(), http.StatusServiceUnavailable)
		return
	}
	select {
	case s := <-got:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		out := statusOf(s)
		out.Messages = messages
		json.NewEncoder(w).Encode(out) // who does not read it has not asked
	case <-r.Context().Done():
	case <-n.ctx.Done():
		http.Error(w, ErrClosed.Error(), http.StatusServiceUnavailable)
	}
}

// loopbackHost reports whether a Host header can only mean this machine.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.Unmap().IsLoopback()
}

// itemSnapshots returns the items that have content. The loop calls it.
func (n *Node) itemSnapshots() (out []ItemSnapshot) {
	for _, it := range n.items {
		if it.gossip == nil {
			out = append(out, n.itemSnapshot(it))
		}
	}
	return out
}

// statusJSON is what GET /status answers. Members may be added and none is ever
// renamed.
type statusJSON struct {
	Listen []string   `json:"listen"` // HOST:PORT
	Items  []itemJSON `json:"items"`
	// Messages are the bytes that were exchanged about channels.
	Messages trafficJSON `json:"messages"`
}

type trafficJSON struct {
	Sent     int64 `json:"sent"`
	Received int64 `json:"received"`
}

type itemJSON struct {
	Infohash string           `json:"infohash,omitempty"` // hex; left out of a private torrent, to which it is the key
	Name     string           `json:"name"`
	State    State            `json:"state"`
	Origin   bool             `json:"origin,omitempty"`
	Bytes    int64            `json:"bytes"`
	Done     int64            `json:"done"`
	Received map[string]int64 `json:"received"` // payload by tier, and "reused"
	Wasted   int64            `json:"wasted"`
	Uploaded int64            `json:"uploaded"`
	DownRate int64            `json:"down_rate"` // bytes a second
	UpRate   int64            `json:"up_rate"`
	Known    int              `json:"known"` // addresses
	Granted  *grantedJSON     `json:"granted,omitempty"`
	Peers    []peerJSON       `json:"peers"`
}

type grantedJSON struct {
	Times    [4]int `json:"times"` // pieces granted 0, 1, 2, and 3 or more times
	Leechers int    `json:"leechers"`
	Served   int    `json:"served"`
	Ever     int    `json:"ever"`
}

type peerJSON struct {
	Who
	Tier     string `json:"tier"`
	Ours     bool   `json:"ours"`
	Received int64  `json:"received"`
	Uploaded int64  `json:"uploaded"`
}

func statusOf(s Snapshot) statusJSON {
	out := statusJSON{Listen: []string{}, Items: []itemJSON{}}
	for _, a := range s.Listen {
		out.Listen = append(out.Listen, a.String())
	}
	for _, it := range s.Items {
		j := itemJSON{
			Infohash: it.Infohash.String(), Name: it.Name, State: it.State, Origin: it.Origin, Bytes: it.Bytes, Done: it.Done,
			Received: map[string]int64{"reused": it.Reused}, Wasted: it.Wasted, Uploaded: it.Uploaded,
			DownRate: int64(it.DownRate), UpRate: int64(it.UpRate), Known: it.Known, Granted: grantedOf(it.Granted), Peers: []peerJSON{},
		}
		if it.Private {
			j.Infohash = ""
		}
		for t, bytes := range it.Received {
			j.Received[Tier(t).String()] = bytes
		}
		for _, p := range it.Peers {
			j.Peers = append(j.Peers, peerJSON{Who: Who{Addr: p.Addr, Client: p.Client}, Tier: p.Tier.String(), Ours: p.Ours, Received: p.Received, Uploaded: p.Uploaded})
		}
		out.Items = append(out.Items, j)
	}
	return out
}

func grantedOf(g *policy.GrantSummary) *grantedJSON {
	if g == nil {
		return nil
	}
	return &grantedJSON{Times: g.Times, Leechers: g.Leechers, Served: g.Served, Ever: g.Ever}
}
