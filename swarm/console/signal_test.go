package console

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"
)

// The first signal stops, its echo is not counted, the second exits.
func TestWatch(t *testing.T) {
	var c clock
	c.t = time.Unix(1, 0)
	for _, s := range []struct {
		first os.Signal
		code  ExitCode
	}{{os.Interrupt, Interrupted}, {syscall.SIGTERM, Terminated}} {
		ch := make(chan os.Signal)
		times := make(chan time.Time, 3)
		ctx, cancel := context.WithCancelCause(t.Context())
		exited := make(chan ExitCode, 1)
		go watch(ch, t.Context().Done(), func() time.Time { return <-times }, cancel, func(c ExitCode) { exited <- c })
		times <- c.t
		ch <- s.first
		<-ctx.Done()
		if got := Code(context.Cause(ctx)); got != s.code {
			t.Errorf("%v stops with %d, want %d", s.first, got, s.code)
		}
		times <- c.t.Add(time.Millisecond)
		ch <- s.first
		times <- c.t.Add(time.Second)
		ch <- os.Interrupt // taken only after the echo has been seen and passed over
		if got := <-exited; got != Interrupted || len(times) > 0 {
			t.Errorf("the second signal exits with %d, %d times unread", got, len(times))
		}
	}
}
