package feed

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Guard answers requests that name a host for which h is meant, and refuses all others
// with 403. Such are addresses, localhost, and the names given. Any other name may be one that its owner
// lets point to this machine, so that a page in a browser reads what is here as if it
// were its own (DNS rebinding). A literal address cannot be pointed elsewhere.
func Guard(h http.Handler, names ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !meant(r.Host, names) {
			http.Error(w, "ask for this machine by its address", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func meant(host string, names []string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil || strings.EqualFold(host, "localhost") {
		return true
	}
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(host, name) })
}
