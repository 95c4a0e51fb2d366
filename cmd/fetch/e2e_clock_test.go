package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"handful/swarm/console"
)

// anHourBehind is fetch on a machine whose clock is slow.
func anHourBehind() {
	env, err := console.OSEnv("fetch")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	env.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	code, _ := tree(env).Execute(context.Background())
	os.Exit(int(code))
}
