package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"handful/bench/netns"
)

// dataInSecond is how many bytes of blocks within one second count as "it sends piece data to this peer": a quarter of the
// common block. Less is the fringe of a block that was sent before, or after.
const dataInSecond = 4 << 10

// shipment is some bytes of blocks that left the origin.
type shipment struct {
	at    time.Time
	to    netip.Addr
	bytes int64
}

// An originWatch looks at the origin's own link: who gets piece data, when and how much. Control messages and metadata are
// not piece data, and what is sent again by TCP counts once. Streams that cannot be read, as they are encrypted or HTTP,
// count as a whole.
type originWatch struct {
	watch *netns.Watch

	// The rest is owned by the watch's goroutine until close.
	peers     map[netip.Addr]bool
	streams   map[[2]netip.AddrPort]*pieceStream
	shipments []shipment
}

// watchOrigin begins to watch client 0; nil where there are no links.
func watchOrigin(f *field) (w *originWatch, err error) {
	if len(f.hosts) == 0 {
		return nil, nil
	}
	w = &originWatch{peers: map[netip.Addr]bool{}, streams: map[[2]netip.AddrPort]*pieceStream{}}
	for _, c := range f.clients[1:] {
		w.peers[c.Addr()] = true
	}
	w.watch, err = f.hosts[0].Watch(w.see)
	return w, err
}

func (w *originWatch) see(s netns.Segment) {
	if !w.peers[s.To.Addr()] {
		return
	}
	key := [2]netip.AddrPort{s.From, s.To}
	stream := w.streams[key]
	if stream == nil {
		stream = &pieceStream{}
		w.streams[key] = stream
	}
	if n := stream.take(s.Seq, s.Payload); n > 0 {
		w.shipments = append(w.shipments, shipment{at: s.At, to: s.To.Addr(), bytes: n})
	}
}

// handfulFigures are what a watch has seen. Those below 0 were not measured.
type handfulFigures struct {
	most    int   // most peers that got piece data within any one second
	served  int   // different peers that got piece data in all
	payload int64 // bytes of blocks
	unread  int   // streams that could not be read, and count as a whole
}

// close ends the watch and adds up. Without a watch nothing was measured.
func (w *originWatch) close() (handfulFigures, error) {
	if w == nil {
		return handfulFigures{most: -1, served: -1, payload: -1}, nil
	}
	if err := w.watch.Close(); err != nil { // a second time does no harm
		return handfulFigures{}, fmt.Errorf("watch the origin's link: %w", err)
	}
	sum := count(w.shipments)
	for _, s := range w.streams {
		if s.opaque {
			sum.unread++
		}
	}
	return sum, nil
}

// count slides a window of one second over what was shipped; it ends at each shipment in turn, so no second is left out.
func count(shipped []shipment) (f handfulFigures) {
	shipped = slices.Clone(shipped)
	slices.SortStableFunc(shipped, func(a, b shipment) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	total, recent := map[netip.Addr]int64{}, map[netip.Addr]int64{}
	now, oldest := 0, 0 // peers that count in the window, and its first shipment
	for _, s := range shipped {
		for ; s.at.Sub(shipped[oldest].at) >= time.Second; oldest++ {
			old := shipped[oldest]
			if before := recent[old.to]; before >= dataInSecond && before-old.bytes < dataInSecond {
				now--
			}
			recent[old.to] -= old.bytes
		}
		if before := recent[s.to]; before < dataInSecond && before+s.bytes >= dataInSecond {
			now++
		}
		recent[s.to] += s.bytes
		f.most = max(f.most, now)
		total[s.to] += s.bytes
		f.payload += s.bytes
	}
	for _, n := range total {
		if n >= dataInSecond {
			f.served++
		}
	}
	return f
}
