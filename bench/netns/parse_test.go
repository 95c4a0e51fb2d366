package netns

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseQdiscs(t *testing.T) {
	const out = `[{"kind":"tbf","handle":"8001:","root":true,"refcnt":3,"options":{"rate":1250000,"burst":16383,"lat":100000},` +
		`"bytes":35092480,"packets":23311,"drops":7,"overlimits":44010,"requeues":0,"backlog":12112,"qlen":8}]`
	got, err := ParseQdiscs([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	want := []Qdisc{{Kind: "tbf", Bytes: 35092480, Packets: 23311, Drops: 7, Overlims: 44010, Backlog: 12112}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "{", `{"kind":"tbf"}`, `[{"bytes":1}]`, `[{"kind":"tbf","bytes":"many"}]`} {
		if _, err := ParseQdiscs([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       1       2    0    3    0     0          0         0        4       5    0    6    0     0       0          0
eth0:1234567890123  20    0    0    0     0          0         0     9000      50    0    0    0     0       0          0
`

func TestParseNetDev(t *testing.T) {
	got, err := ParseNetDev(strings.NewReader(netDev))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Counters{
		"lo":   {RxBytes: 1, RxPackets: 2, RxDrops: 3, TxBytes: 4, TxPackets: 5, TxDrops: 6},
		"eth0": {RxBytes: 1234567890123, RxPackets: 20, TxBytes: 9000, TxPackets: 50},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"a\nb\neth0: 1 2 3\n", "a\nb\nno colon\n", strings.Replace(netDev, "9000", "many", 1)} {
		if _, err := ParseNetDev(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestShapeArguments(t *testing.T) {
	for _, c := range []struct {
		rate int64
		want string
	}{
		{10e6, "tbf rate 10000000bit burst 16000 latency 100ms"},
		{1e9, "tbf rate 1000000000bit burst 250000 latency 100ms"},
	} {
		if got := strings.Join(Shape{Rate: c.rate}.arguments(), " "); got != c.want {
			t.Errorf("rate %d: %q, want %q", c.rate, got, c.want)
		}
	}
}

func FuzzParseNetDev(f *testing.F) {
	f.Add(netDev)
	f.Fuzz(func(t *testing.T, text string) {
		devs, err := ParseNetDev(strings.NewReader(text))
		if err != nil && devs != nil {
			t.Error("counters beside an error")
		}
	})
}

func TestParseEstablished(t *testing.T) {
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr\n"
	const listening = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000\n"
	const open = "   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000\n"
	for text, want := range map[string]int{"": 0, heading: 0, heading + listening: 0, heading + open + listening + open: 2} {
		if got, err := ParseEstablished(strings.NewReader(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	if _, err := ParseEstablished(strings.NewReader(heading + "0: 0100007F:1F90 x\n")); err == nil {
		t.Error("a line without a state was taken")
	}
}
