package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"handful/bench/rival"
)

// hashOptions are the flags of `bench hash`.
type hashOptions struct {
	size size
	runs int
	dir  string
	json bool
}

func hashFlags(args []string, out report) (hashOptions, error) {
	o := hashOptions{size: 2 << 30}
	flags := flag.NewFlagSet("bench hash", flag.ContinueOnError)
	flags.Var(&o.size, "size", "`bytes` of content (K, M, G = 1024)")
	flags.IntVar(&o.runs, "runs", 3, "`runs` of each; the table shows medians")
	flags.StringVar(&o.dir, "dir", "", "`directory` to work in (default: in memory where possible)")
	flags.BoolVar(&o.json, "json", false, "print JSON Lines, one a run")
	if err := parse(flags, args, out); err != nil {
		return o, err
	}
	if o.size < 1 || o.runs < 1 {
		return o, fmt.Errorf("%w: -size and -runs at least 1", errUsage)
	}
	return o, nil
}

// hashResult is one run, as it is printed with --json. Figures below 0 were not measured.
type hashResult struct {
	Type    string  `json:"type"` // "hash"
	Tool    string  `json:"tool"`
	Version string  `json:"version,omitempty"`
	Missing string  `json:"missing,omitempty"`
	Error   string  `json:"error,omitempty"`
	Run     int     `json:"run,omitempty"`
	Size    int64   `json:"size"`
	Seconds float64 `json:"seconds"`  // from start to exit of the program; of the limit: of the hashing alone
	Rate    float64 `json:"rate"`     // bytes/s
	CPU     float64 `json:"cpu"`      // s/GiB; of the limit: with the reading
	PeakRSS int64   `json:"peak_rss"` // bytes
	Ratio   float64 `json:"ratio"`    // of the limit of the same run
	Hashes  string  `json:"hashes"`
}

// hashTool is one way to hash a file for publishing.
type hashTool struct {
	name, hashes     string
	version, missing string
	// args of the program; content and out are paths.
	args func(content, out string) []string
	// inner: it prints the seconds that count.
	inner bool
}

// limitName is the first row, that the others are measured by.
const limitName = "limit: memory, all cores"

// pieceForHash is the piece length of all: 1 MiB.
const pieceForHash = 1 << 20

func hashTools(ctx context.Context, self string) []hashTool {
	worker := func(kind string) func(content, out string) []string {
		return func(content, out string) []string { return []string{self, hashWorker, kind, content} }
	}
	tools := []hashTool{
		{name: limitName, hashes: "SHA-1 + SHA-256", args: worker("limit"), inner: true},
		{name: "handful, hybrid", hashes: "SHA-1 + SHA-256", args: worker("hybrid")},
		{name: "handful, v1", hashes: "SHA-1 + SHA-256", args: worker("v1")},
		{name: "stock engine", hashes: "SHA-1", args: worker("engine")},
	}
	add := func(name, hashes, program, pkg string, args func(content, out string) []string, ask ...string) {
		t := hashTool{name: name, hashes: hashes, args: args}
		var err error
		if t.version, err = rival.Version(ctx, program, pkg, ask...); err != nil {
			t.missing = err.Error()
		}
		tools = append(tools, t)
	}
	add("mktorrent", "SHA-1", "mktorrent", "mktorrent", func(content, out string) []string {
		return []string{"mktorrent", "-l", "20", "-t", strconv.Itoa(cores()), "-o", out, content}
	}, "-h")
	add("transmission-create", "SHA-1", "transmission-create", "transmission-cli", func(content, out string) []string {
		return []string{"transmission-create", "-s", "1024", "-o", out, content}
	}, "--version")
	lt := rival.Libtorrent()
	version, err := lt.Find(ctx)
	for _, v := range []struct{ flags, hashes string }{{"v1_only", "SHA-1"}, {"v2_only", "SHA-256"}, {"0", "SHA-1 + SHA-256"}} {
		t := hashTool{name: "libtorrent, " + strings.Replace(v.flags, "0", "hybrid", 1), hashes: v.hashes, version: version,
			args: func(content, out string) []string { return rival.LibtorrentCreate(content, v.flags, pieceForHash) }}
		if err != nil {
			t.missing = err.Error()
		}
		tools = append(tools, t)
	}
	return tools
}

func hashMain(ctx context.Context, args []string, out report) (err error) {
	o, err := hashFlags(args, out)
	if err != nil {
		return err
	}
	dir, err := workDir(o.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	content, err := makeContent(ctx, dir, int64(o.size), 1)
	if err != nil {
		return err
	}
	tools := hashTools(ctx, self)
	var results []hashResult
	for run := range o.runs {
		limit := 0.0
		for _, tool := range tools {
			r := hashResult{Type: "hash", Tool: tool.name, Version: tool.version, Missing: tool.missing, Hashes: tool.hashes,
				Run: run + 1, Size: int64(o.size), Ratio: -1}
			if tool.missing == "" {
				out.notef("hash, run %d of %d: %s", run+1, o.runs, tool.name)
				if err := hashOnce(ctx, tool, content, dir, &r); err != nil {
					if cause := context.Cause(ctx); cause != nil {
						return cause
					}
					out.notef("%s: %v", tool.name, err)
					r.Error = err.Error()
				}
				if tool.name == limitName {
					limit = r.Rate
				}
				if limit > 0 && r.Error == "" {
					r.Ratio = r.Rate / limit
				}
			}
			results = append(results, r)
			if o.json {
				if err := out.line(r); err != nil {
					return err
				}
			}
		}
	}
	if !o.json {
		fmt.Fprint(out.stdout, hashTable(o, tools, results))
	}
	for _, r := range results {
		if r.Error != "" {
			err = fmt.Errorf("%s: %s", r.Tool, r.Error)
		}
	}
	return err
}

// hashOnce runs one program on the content, which it first reads once, so that all find it in the cache.
func hashOnce(ctx context.Context, tool hashTool, content, dir string, r *hashResult) error {
	if err := warm(content); err != nil {
		return err
	}
	torrent := filepath.Join(dir, "out.torrent")
	if err := os.Remove(torrent); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove earlier result: %w", err)
	}
	args := tool.args(content, torrent)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	start := time.Now()
	usage, err := rival.Measure(cmd)
	took := time.Since(start).Seconds()
	if err != nil {
		return fmt.Errorf("%s: %w: %.500s", args[0], err, strings.TrimSpace(said.String()))
	}
	if tool.inner {
		if took, err = strconv.ParseFloat(strings.TrimSpace(said.String()), 64); err != nil {
			return fmt.Errorf("%s: its answer is not a number of seconds: %w", args[0], err)
		}
	}
	r.Seconds, r.Rate = took, float64(r.Size)/took
	r.CPU, r.PeakRSS = usage.CPU.Seconds()/(float64(r.Size)/(1<<30)), usage.PeakRSS
	return nil
}

func warm(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read content: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(io.Discard, f); err != nil {
		return fmt.Errorf("read content: %w", err)
	}
	return nil
}

func hashTable(o hashOptions, tools []hashTool, results []hashResult) string {
	t := table{head: []string{"tool", "hashes", "runs", "of the limit", "GiB/s", "CPU s/GiB", "peak RSS MiB"}}
	for _, tool := range tools {
		var good []hashResult
		why := tool.missing
		for _, r := range results {
			if r.Tool == tool.name && r.Error == "" && r.Missing == "" {
				good = append(good, r)
			} else if r.Tool == tool.name && r.Error != "" {
				why = "failed: " + r.Error
			}
		}
		name := strings.TrimSpace(tool.name + " " + tool.version)
		if len(good) == 0 {
			t.missing(name, firstLine(why))
			continue
		}
		of := func(field func(hashResult) float64, digits int) string { return number(medianOf(good, field), digits) }
		t.add(name, tool.hashes, strconv.Itoa(len(good)),
			of(func(r hashResult) float64 { return r.Ratio }, 2),
			of(func(r hashResult) float64 { return r.Rate / (1 << 30) }, 2),
			of(func(r hashResult) float64 { return r.CPU }, 2),
			of(func(r hashResult) float64 { return float64(r.PeakRSS) / (1 << 20) }, 0))
	}
	return fmt.Sprintf("Hashing %siB for publishing, warm cache, 1 MiB pieces, %d cores; medians.\n\n%s", o.size.String(), cores(), t.String())
}
