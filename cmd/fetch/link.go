package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/console"
)

const (
	maxLink       = 64 << 10         // bytes of a link on stdin
	maxTorrent    = 64 << 20         // bytes of a .torrent
	webPatience   = 30 * time.Second // for a web server to begin
	maxRedirects  = 5
	hintLinkForms = "a link begins with handful: or magnet:, or is a .torrent file or its URL; see `fetch help links`"
)

// readLink returns the link that an argument is, or that stdin has when it is "-".
func readLink(a *console.App, arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	line, err := bufio.NewReader(io.LimitReader(a.Env.Stdin, maxLink)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the link from stdin: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", console.Usagef("pipe the link in, or give it as the argument", "there is no link on stdin")
	}
	return line, nil
}

// parseTarget finds out what a link names. Only a torrent's URL needs the network.
func parseTarget(ctx context.Context, a *console.App, link string, lanOnly bool) (target, error) {
	scheme, _, hasScheme := strings.Cut(link, ":")
	switch strings.ToLower(scheme) {
	case "handful":
		l, err := signing.ParseLink(link)
		return target{Channel: &l}, err
	case "magnet":
		m, err := manifest.ParseMagnet(link)
		return target{Magnet: &m}, err
	case "http", "https":
		if lanOnly {
			return target{}, console.Usagef("save the torrent file first, and fetch that", "%s is on a web server, and --lan-only keeps to the local network", link)
		}
		b, err := download(ctx, link)
		if err != nil {
			return target{}, err
		}
		return parseTorrent(link, b)
	}
	b, err := readTorrent(a.Env.Path(link))
	switch {
	case err == nil:
		return parseTorrent(link, b)
	case errors.Is(err, fs.ErrNotExist) && hasScheme && !strings.ContainsAny(scheme, `./\`) && len(scheme) > 1:
		return target{}, console.Usagef(hintLinkForms, "%q: unknown scheme %q", link, scheme+":")
	case errors.Is(err, fs.ErrNotExist) && bareID(link):
		return target{}, console.Usagef("write handful:"+link, "%q is a channel's id without its scheme", link)
	}
	return target{}, &console.Fault{Code: console.Code(err), Message: "open the torrent file", Hint: hintLinkForms, Err: err}
}

func bareID(s string) bool {
	_, err := signing.ParseID(s)
	return err == nil
}

func readTorrent(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f)
}

func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxTorrent+1))
	if err == nil && len(b) > maxTorrent {
		err = fmt.Errorf("it is larger than %s, which no torrent file is", console.Bytes(maxTorrent))
	}
	return b, err
}

func parseTorrent(name string, b []byte) (target, error) {
	t, err := manifest.Parse(b)
	if err != nil {
		return target{}, &console.Fault{Code: console.Usage, Message: name + " is no torrent file that can be fetched", Hint: "ask for the file again, or for a link", Err: err}
	}
	return target{Torrent: t}, nil
}

// download gets a torrent file from a web server.
func download(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, &console.Fault{Code: console.Usage, Message: fmt.Sprintf("%q is no URL", url), Hint: hintLinkForms, Err: err}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = webPatience
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, &console.Fault{Code: console.NotFound, Message: "fetch the torrent file", Hint: "check the URL, or try again later", Err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("fetch the torrent file %s: the server answers %s", url, resp.Status), Hint: "check the URL"}
	}
	b, err := readBounded(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("fetch the torrent file %s: %w", url, err)
	}
	return b, nil
}
