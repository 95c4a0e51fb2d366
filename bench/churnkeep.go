package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"handful/bench/rival"
)

// keep copies what explains a run into a directory of its own below dir, while its programs still run: what each client
// says about itself, its log, who holds which pieces, and what each host sent in each second. Our own programs that are not
// complete are ended so that they write what each goroutine does.
func (x *experiment) keep(ctx context.Context, dir string, r *churnResult, failure error, timeline string) (string, error) {
	dir = filepath.Join(dir, fmt.Sprintf("%s-%s-run%d-attempt%d", r.Client, r.Case, r.Run, r.Attempt))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("keep logs: %w", err)
	}
	var errs []error
	write := func(name, text string) {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("run.txt", x.account(r, failure))
	write("sent.csv", timeline)
	teller, tells := x.client.Client.(rival.Teller)
	for i, in := range append([]*rival.Instance{x.seed}, x.peers...) {
		if _, guest := x.guests[i]; in != nil && tells && !guest && running(in) {
			write(fmt.Sprintf("client%d.status", i), string(teller.Tell(ctx, x.job(i), i == 0)))
			if i == 0 || in.DoneAt().IsZero() {
				in.Abort()
			}
		}
	}
	for i := range x.field.clients {
		err := copyFile(filepath.Join(x.job(i).Work, "log"), filepath.Join(dir, fmt.Sprintf("client%d.log", i)))
		if !errors.Is(err, os.ErrNotExist) { // it was never started
			errs = append(errs, err)
		}
	}
	return dir, errors.Join(errs...)
}

func running(in *rival.Instance) bool {
	select {
	case <-in.Exited():
		return false
	default:
		return true
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("keep logs: %w", err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("keep logs: %w", err)
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return fmt.Errorf("keep logs: %w", err)
	}
	return out.Close()
}

// account of a run in words: what was done to whom, who got how far, and which pieces are rare.
func (x *experiment) account(r *churnResult, failure error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, run %d, attempt %d, busy %.2f\n", r.Client, r.Case, r.Run, r.Attempt, r.Busy)
	fmt.Fprintf(&b, "started %s, T* %s, victims %v\n", x.start.Format(time.RFC3339Nano), x.churn.bound(), x.victims)
	if !x.struck.IsZero() {
		fmt.Fprintf(&b, "struck after %s, %.3f copies had left the origin\n", x.struck.Sub(x.start), float64(x.sent-x.began)/float64(x.holdings.size))
	}
	fmt.Fprintf(&b, "incomplete: %s\nerror: %v\n\n", firstLine(r.Incomplete), failure)
	all, err := x.held()
	if err != nil {
		fmt.Fprintf(&b, "holdings: %v\n", err)
		return b.String()
	}
	for i := 1; i <= len(x.peers); i++ {
		count, missing := 0, []string{}
		for p, whole := range all[i] {
			if whole {
				count++
			} else if len(missing) < 40 {
				missing = append(missing, fmt.Sprint(p))
			}
		}
		state := "not complete"
		if at := x.peers[i-1].DoneAt(); !at.IsZero() {
			state = fmt.Sprintf("complete after %s", at.Sub(x.start))
		}
		if x.excused[i] {
			state += ", excused"
		}
		fmt.Fprintf(&b, "client%d %s: %d of %d pieces on disk, %s; missing %s\n", i, x.field.clients[i], count, len(all[i]), state,
			strings.Join(missing, " "))
	}
	fmt.Fprintln(&b)
	for p, holders := range holdersOf(all, x.holdings.pieces()) {
		var stay []int
		for _, i := range holders {
			if !x.excused[i] {
				stay = append(stay, i)
			}
		}
		if len(stay) == 0 {
			fmt.Fprintf(&b, "piece %d: nobody who stays holds it (all holders: %v)\n", p, holders)
		}
	}
	return b.String()
}

// watch writes down each second what every host has sent and received until the returned function is called, which gives
// the table. It does nothing unless it is wanted.
func (x *experiment) watch(ctx context.Context, wanted bool) (end func() string) {
	if !wanted {
		return func() string { return "" }
	}
	ctx, cancel := context.WithCancel(ctx)
	var b strings.Builder
	fmt.Fprint(&b, "time")
	for i := range x.field.hosts {
		fmt.Fprintf(&b, ",sent%d,received%d", i, i)
	}
	fmt.Fprintln(&b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				fmt.Fprint(&b, now.Format("15:04:05.000"))
				for _, h := range x.field.hosts {
					c, err := h.Counters()
					if err != nil {
						return
					}
					fmt.Fprintf(&b, ",%d,%d", c.TxBytes, c.RxBytes)
				}
				fmt.Fprintln(&b)
			}
		}
	}()
	return func() string {
		cancel()
		<-done
		return b.String()
	}
}
