package console

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameSignal is how close two signals must be to be one: timeout(1) and shells
// signal a process and then its group, which no person meant as "now".
const sameSignal = 300 * time.Millisecond

// Signals returns a context that the first Ctrl-C or SIGTERM ends, with a *Stop
// as its cause. The second ends the process at once, by way of exit. Stop gives
// the signals back to the system.
func Signals(parent context.Context, exit func(ExitCode)) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go watch(ch, done, time.Now, cancel, exit)
	return ctx, func() {
		signal.Stop(ch)
		close(done)
		cancel(nil)
	}
}

// watch turns signals into a stop, and then into an exit.
func watch(ch <-chan os.Signal, done <-chan struct{}, now func() time.Time, cancel context.CancelCauseFunc, exit func(ExitCode)) {
	var first time.Time
	for {
		select {
		case sig := <-ch:
			s := &Stop{Interrupted}
			if sig == syscall.SIGTERM {
				s.Code = Terminated
			}
			switch at := now(); {
			case first.IsZero():
				first = at
				cancel(s)
			case at.Sub(first) >= sameSignal:
				exit(s.Code)
				return
			}
		case <-done:
			return
		}
	}
}
