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
	"slices"
	"strings"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/console"
)

const (
	maxLink       = 64 << 10         // bytes of a link on stdin
	maxInput      = 16 << 20         // bytes of a file of links
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

// readLinks returns the links of the arguments, and after them those of the input
// file: one a line, without empty lines and those that begin with #.
func readLinks(a *console.App, args []string, input string) ([]string, error) {
	var links []string
	for i, arg := range args {
		link, err := readLink(a, arg)
		if err != nil {
			return nil, err
		}
		if arg == "-" {
			if input == "-" || slices.Contains(args[i+1:], "-") {
				return nil, console.Usagef("give all of them with --input -", "stdin is asked for links twice")
			}
			// What was on stdin is read: whoever runs the command again needs it.
			a.Replace("-", link)
		}
		links = append(links, link)
	}
	if input == "" {
		return links, nil
	}
	b, err := readInput(a, input)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			links = append(links, line)
		}
	}
	if len(links) == 0 {
		return nil, console.Usagef("put links into it, one a line", "there is no link in %s", nameOfInput(input))
	}
	return links, nil
}

func nameOfInput(input string) string {
	if input == "-" {
		return "stdin"
	}
	return input
}

// readInput reads a file of links, or stdin, which then can be read again by
// whoever runs this command next.
func readInput(a *console.App, input string) ([]byte, error) {
	from := a.Env.Stdin
	if input != "-" {
		f, err := os.Open(a.Env.Path(input))
		if err != nil {
			return nil, &console.Fault{Code: console.Code(err), Message: "open the file of links", Hint: "check the path", Err: err}
		}
		defer f.Close()
		from = f
	} else if r, ok := from.(*replay); ok {
		from = strings.NewReader(r.all)
	}
	b, err := io.ReadAll(io.LimitReader(from, maxInput+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read links from %s: %w", nameOfInput(input), err)
	case len(b) > maxInput:
		return nil, console.Usagef("split it", "%s holds more than %s, which is too much for links", nameOfInput(input), console.Bytes(maxInput))
	}
	if input == "-" {
		a.Env.Stdin = &replay{all: string(b), Reader: strings.NewReader(string(b))}
	}
	return b, nil
}

// replay is a stdin that was read, for those who run the command again.
type replay struct {
	all string
	*strings.Reader
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
	if shown, _, secret := strings.Cut(link, "#k="); secret && err != nil {
		link = shown
		if errors.Is(err, fs.ErrNotExist) && !hasScheme {
			err = fmt.Errorf("%s: %w", shown, fs.ErrNotExist) // the path has the key in it
		}
	}
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
