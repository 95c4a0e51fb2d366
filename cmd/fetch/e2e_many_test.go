package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// testMany: several links at once, one of which nobody has; then the same through a node that already runs, from stdin.
func testMany(t *testing.T, l *lab) {
	origin := l.local(t)
	var links strings.Builder
	fmt.Fprintln(&links, "# what we want")
	var names []string
	for i := range 3 {
		name := fmt.Sprintf("part%d.bin", i)
		names = append(names, name)
		if err := os.WriteFile(origin.path(name), []byte(strings.Repeat(name, 5000+i)), 0o644); err != nil {
			t.Fatal(err)
		}
		_, published := origin.publish(origin.path(name)) // the second and third are handed to the first
		fmt.Fprintln(&links, published.Link)
	}
	compare := func(dir string) {
		t.Helper()
		for _, name := range names {
			sameTrees(t, origin.path(name), dir+"/"+name)
		}
		noLeftovers(t, dir)
	}

	one := l.local(t)
	if err := os.WriteFile(one.path("links"), []byte(links.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	p := one.start("fetch", nobody+"?pe=127.0.0.1:1", "-i", "links", "-j", "2", "-o", "out", "--timeout", "3s")
	p.fails(3, "1 of 4 links were not fetched")
	p.await("a warning of the one", func(l line) bool {
		return l.Type == "warning" && strings.Contains(l.Message, nobody) && strings.Contains(l.Message, "was not fetched")
	})
	compare(one.path("out"))

	two := l.local(t)
	holder := two.start("fetch", "serve")
	holder.await("listening", is("listening"))
	two.alter = reads(links.String())
	p = two.start("fetch", "-i", "-", "-o", "out")
	if code := p.wait(); code != 0 {
		t.Fatalf("ended with %d\n%s", code, p.tail())
	}
	p.await("that the node goes on", is("seeding"))
	compare(two.path("out"))
}

// reads gives a process its stdin.
func reads(text string) func(*exec.Cmd) {
	return func(c *exec.Cmd) { c.Stdin = strings.NewReader(text) }
}
