package console

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Signals returns a context that the first Ctrl-C or SIGTERM ends, with a *Stop
// as its cause. The second ends the process at once, by way of exit. Stop gives
// the signals back to the system.
func Signals(parent context.Context, exit func(ExitCode)) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case sig := <-ch:
				s := &Stop{Interrupted}
				if sig == syscall.SIGTERM {
					s.Code = Terminated
				}
				if n > 0 {
					exit(s.Code)
					return
				}
				cancel(s)
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(ch)
		close(done)
		cancel(nil)
	}
}
