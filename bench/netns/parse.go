package netns

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Counters are what a network device counted since it was made: whole frames, headers included.
type Counters struct {
	RxBytes, RxPackets, RxDrops int64
	TxBytes, TxPackets, TxDrops int64
}

// Qdisc is the state of one queueing discipline, as `tc -s -j qdisc` tells it. Bytes are whole frames that left.
type Qdisc struct {
	Kind     string `json:"kind"`
	Bytes    int64  `json:"bytes"`
	Packets  int64  `json:"packets"`
	Drops    int64  `json:"drops"`
	Overlims int64  `json:"overlimits"`
	Backlog  int64  `json:"backlog"`
}

// ParseQdiscs reads the output of `tc -s -j qdisc show`.
func ParseQdiscs(out []byte) ([]Qdisc, error) {
	var qs []Qdisc
	if err := json.Unmarshal(out, &qs); err != nil {
		return nil, fmt.Errorf("parse output of tc -s -j qdisc: %w", err)
	}
	for _, q := range qs {
		if q.Kind == "" {
			return nil, fmt.Errorf("parse output of tc -s -j qdisc: an entry without kind in %.200q", out)
		}
	}
	return qs, nil
}

// ParseNetDev reads the format of /proc/net/dev: one line a device, the counters of /sys/class/net/DEV/statistics.
func ParseNetDev(r io.Reader) (map[string]Counters, error) {
	devs := map[string]Counters{}
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		if n <= 2 { // two lines of headings
			continue
		}
		name, rest, ok := strings.Cut(sc.Text(), ":")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 16 {
			return nil, fmt.Errorf("parse device counters: line %d is not \"name: 16 numbers\": %.200q", n, sc.Text())
		}
		var v [16]int64
		for i := range v {
			var err error
			if v[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
				return nil, fmt.Errorf("parse device counters: line %d, column %d: %w", n, i+1, err)
			}
		}
		devs[strings.TrimSpace(name)] = Counters{
			RxBytes: v[0], RxPackets: v[1], RxDrops: v[3],
			TxBytes: v[8], TxPackets: v[9], TxDrops: v[11],
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read device counters: %w", err)
	}
	return devs, nil
}

// ParseEstablished counts the established connections in the format of /proc/net/tcp: after a heading, one line a
// socket, whose fourth word is its state; 01 is established.
func ParseEstablished(r io.Reader) (count int, err error) {
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		fields := strings.Fields(sc.Text())
		switch {
		case n == 1:
		case len(fields) < 4 || len(fields[3]) != 2:
			return 0, fmt.Errorf("parse connections: line %d has no state in its fourth word: %.200q", n, sc.Text())
		case fields[3] == "01":
			count++
		}
	}
	if err := sc.Err(); err != nil {
		return 0, fmt.Errorf("read connections: %w", err)
	}
	return count, nil
}

// Shape is how one direction of a link is slowed down. The zero value leaves it as fast as the machine.
type Shape struct {
	Rate int64 // bit/s; 0 = not shaped
}

// Burst is the size of the token bucket in bytes: 2 ms of the rate, at least 16 kB.
func (s Shape) Burst() int64 { return max(16_000, s.Rate/8/500) }

// arguments of `tc qdisc add dev DEV root`.
func (s Shape) arguments() []string {
	return []string{"tbf", "rate", strconv.FormatInt(s.Rate, 10) + "bit",
		"burst", strconv.FormatInt(s.Burst(), 10), "latency", "100ms"}
}
