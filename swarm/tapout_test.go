package swarm

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

// sink keeps what is written.
type sink struct {
	mu   sync.Mutex
	more sync.Cond
	buf  bytes.Buffer
	fail error
}

func newSink() *sink {
	s := new(sink)
	s.more.L = &s.mu
	return s
}

func (s *sink) Read([]byte) (int, error) { return 0, io.EOF }

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.more.Broadcast()
	if s.fail != nil {
		return 0, s.fail
	}
	return s.buf.Write(b)
}

// await returns all that was written when it is n bytes or more.
func (s *sink) await(n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.buf.Len() < n {
		s.more.Wait()
	}
	return bytes.Clone(s.buf.Bytes())
}

func raw(messages ...pp.Message) (out []byte) {
	for _, m := range messages {
		out = append(out, m.MustMarshalBinary()...)
	}
	return out
}

func pieceOf(index, n int) pp.Message {
	return pp.Message{Type: pp.Piece, Index: pp.Integer(index), Piece: make([]byte, n)}
}

func have(piece int) pp.Message { return pp.Message{Type: pp.Have, Index: pp.Integer(piece)} }

// stopped returns a tap whose uplink lets one block through and no more.
func stopped(t *testing.T) (*tap, *sink) {
	t.Helper()
	s := newSink()
	tap := claimedTap(nil, s)
	tap.up = newUplink(time.Now)
	tap.up.setLimit(classWide, 1)
	tap.Write(raw(pieceOf(0, leastBurst+1)))
	s.mu.Lock()
	s.buf.Reset()
	s.mu.Unlock()
	return tap, s
}

func mustWrite(t *testing.T, tap *tap, messages ...pp.Message) {
	t.Helper()
	b := raw(messages...)
	if n, err := tap.Write(b); n != len(b) || err != nil {
		t.Fatalf("wrote %d of %d: %v", n, len(b), err)
	}
}

func wantOut(t *testing.T, s *sink, messages ...pp.Message) {
	t.Helper()
	want := raw(messages...)
	if got := s.await(len(want)); !bytes.Equal(got, want) {
		t.Fatalf("sent %x, want %x", got, want)
	}
}

// TestControlOvertakesData: blocks wait for the limit; what else there is goes out in its order, and they follow in
// theirs when the limit is lifted.
func TestControlOvertakesData(t *testing.T) {
	tap, s := stopped(t)
	request := pp.Message{Type: pp.Request, Index: 1, Length: 2}
	mustWrite(t, tap, have(1), pieceOf(1, 100), pieceOf(2, 100), request)
	mustWrite(t, tap, pieceOf(3, 100))
	mustWrite(t, tap, pp.Message{Type: pp.Unchoke})
	wantOut(t, s, have(1), request, pp.Message{Type: pp.Unchoke})
	tap.up.setLimit(classWide, 0)
	wantOut(t, s, have(1), request, pp.Message{Type: pp.Unchoke}, pieceOf(1, 100), pieceOf(2, 100), pieceOf(3, 100))
}

// TestCancelTakesBack: a block that waits is not sent, and the peer is told if it speaks BEP 6.
func TestCancelTakesBack(t *testing.T) {
	for _, fast := range []bool{true, false} {
		tap, s := stopped(t)
		if !fast {
			tap.in[27] = 0
		}
		mustWrite(t, tap, pieceOf(1, 100), pieceOf(2, 50), pieceOf(3, 100))
		if !tap.cancel(block{2, 0}) || tap.cancel(block{2, 0}) || tap.cancel(block{9, 0}) {
			t.Fatal("wrong about what waits")
		}
		var want []pp.Message
		if fast {
			want = append(want, pp.Message{Type: pp.Reject, Index: 2, Length: 50})
		}
		wantOut(t, s, want...)
		tap.up.setLimit(classWide, 0)
		wantOut(t, s, append(want, pieceOf(1, 100), pieceOf(3, 100))...)
	}
}

// TestChokeTakesBack: nothing that was asked for before a Choke is sent after it.
func TestChokeTakesBack(t *testing.T) {
	tap, s := stopped(t)
	choke, unchoke := pp.Message{Type: pp.Choke}, pp.Message{Type: pp.Unchoke}
	mustWrite(t, tap, pieceOf(1, 100), choke, unchoke, pieceOf(2, 30))
	reject := pp.Message{Type: pp.Reject, Index: 1, Length: 100}
	wantOut(t, s, choke, reject, unchoke)
	tap.up.setLimit(classWide, 0)
	wantOut(t, s, choke, reject, unchoke, pieceOf(2, 30))
}

// TestWriteWaitsForRoom: the engine is held up only when much waits, and not when the connection is closed.
func TestWriteWaitsForRoom(t *testing.T) {
	tap, _ := stopped(t)
	here, _ := tcpPair(t)
	tap.Conn = here
	for tap.queued+16397 <= maxQueued {
		mustWrite(t, tap, pieceOf(1, 16384))
	}
	done := make(chan error)
	go func() {
		_, err := tap.Write(raw(pieceOf(2, 16384)))
		done <- err
	}()
	tap.mu.Lock()
	for tap.queued <= maxQueued {
		tap.mu.Unlock()
		tap.mu.Lock()
	}
	tap.mu.Unlock()
	select {
	case <-done:
		t.Fatal("did not wait")
	default:
	}
	tap.Close()
	<-done
	if _, err := tap.Write(raw(have(1))); err == nil {
		t.Error("wrote to a closed connection")
	}
}

// TestHeldHaves: one that is urgent goes at once and takes along those that wait; the others go together when the
// oldest has waited long enough, without those that the peer has by then.
func TestHeldHaves(t *testing.T) {
	now := time.Unix(1000, 0)
	s := newSink()
	tap := claimedTap(nil, s)
	tap.now = func() time.Time { return now }
	peerHas := map[int]bool{}
	tap.govern(outgoing{
		urgent: func(p int) bool { return p >= 100 },
		has:    func(p int) bool { return peerHas[p] },
	})
	interested := pp.Message{Type: pp.Interested}
	mustWrite(t, tap, have(1), interested, have(2), pieceOf(5, 10), have(3))
	out := []pp.Message{interested, pieceOf(5, 10)}
	wantOut(t, s, out...)
	peerHas[2] = true
	mustWrite(t, tap, have(100), have(4))
	out = append(out, have(1), have(3), have(100))
	wantOut(t, s, out...)
	now = now.Add(haveHold - 1)
	mustWrite(t, tap, have(5))
	tap.pulse(now, false)
	if len(tap.held) != 2 {
		t.Fatalf("%d are held", len(tap.held))
	}
	peerHas[4] = true
	tap.pulse(now.Add(1), false)
	out = append(out, have(5))
	wantOut(t, s, out...)
	if tap.pulse(now.Add(time.Hour), false); len(tap.held) != 0 {
		t.Errorf("%d are held", len(tap.held))
	}
}

// TestConceal: whatever the engine says on what there is, the peer hears what is revealed.
func TestConceal(t *testing.T) {
	none := pp.Message{Type: pp.HaveNone}
	hello := pp.Message{Type: pp.Extended, ExtendedPayload: []byte("de")}
	all := []pp.Message{{Type: pp.HaveAll}, {Type: pp.Bitfield, Bitfield: make([]bool, 16)}, none}
	for _, first := range all {
		for _, fast := range []bool{true, false} {
			if !fast && first.Type != pp.Bitfield {
				continue
			}
			s := newSink()
			tap := claimedTap(nil, s)
			tap.govern(outgoing{conceal: true})
			out := []pp.Message{hello}
			if !fast {
				tap.in[27] = 0
				out = []pp.Message{have(7), hello}
			}
			tap.reveal([]int{7})
			if !fast {
				s.await(9) // it need not wait for the message of BEP 6
			}
			mustWrite(t, tap, hello, first, have(1))
			if fast {
				out = append(out, none, have(7))
			}
			wantOut(t, s, out...)
			mustWrite(t, tap, have(2), all[0])
			tap.reveal([]int{3, 4})
			wantOut(t, s, append(out, have(3), have(4))...)
		}
	}
}

func TestSentData(t *testing.T) {
	tap, s := stopped(t)
	before, _ := tap.sentData()
	if before != leastBurst+1 {
		t.Errorf("%d bytes were sent", before)
	}
	now := time.Unix(77, 0)
	tap.now = func() time.Time { return now }
	mustWrite(t, tap, have(1), pieceOf(1, 100))
	if n, at := tap.sentData(); n != before || at.Equal(now) {
		t.Errorf("%d bytes were sent at %v", n, at)
	}
	tap.up.setLimit(classWide, 0)
	wantOut(t, s, have(1), pieceOf(1, 100))
	tap.up.mu.Lock()
	for tap.lease.taking { // the turn is over when it is counted
		tap.up.mu.Unlock()
		tap.up.mu.Lock()
	}
	tap.up.mu.Unlock()
	if n, at := tap.sentData(); n != before+100 || !at.Equal(now) {
		t.Errorf("%d bytes were sent at %v", n, at)
	}
}

// madeOf builds valid messages from a fuzzer's bytes.
func madeOf(kinds []byte) (out []pp.Message) {
	for i, k := range kinds {
		x := pp.Integer(i)
		out = append(out, []pp.Message{
			{Keepalive: true}, have(i), pieceOf(i, int(k)), {Type: pp.Unchoke}, {Type: pp.Request, Index: x, Length: 9},
			{Type: pp.Reject, Index: x, Length: 9}, {Type: pp.Extended, ExtendedPayload: kinds}, pieceOf(i, 0),
		}[k%8])
	}
	return out
}

// FuzzTapWrite cuts what the engine writes everywhere. Where nothing waits the very same stream must come out; where
// blocks wait, they and the rest must come out each in their order.
func FuzzTapWrite(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 10, 18}, []byte{1, 2, 3, 100, 4})
	f.Add([]byte{2, 2, 2, 250, 1}, []byte{})
	f.Fuzz(func(t *testing.T, kinds, sizes []byte) {
		if len(kinds) > 100 {
			return
		}
		messages := madeOf(kinds)
		stream := raw(messages...)
		slow, waited := stopped(t)
		straight := newSink()
		for _, tap := range []*tap{claimedTap(nil, straight), slow} {
			for rest, i := stream, 0; len(rest) > 0; i++ {
				n := len(rest)
				if i < len(sizes) {
					n = min(n, int(sizes[i])+1)
				}
				if k, err := tap.Write(rest[:n]); k != n || err != nil {
					t.Fatalf("wrote %d of %d: %v", k, n, err)
				}
				rest = rest[n:]
			}
		}
		if got := straight.await(len(stream)); !bytes.Equal(got, stream) {
			t.Fatalf("%x became %x", stream, got)
		}
		slow.up.setLimit(classWide, 0)
		got := waited.await(len(stream))
		var data, control, wantData, wantControl [][]byte
		for len(got) >= 4 {
			n := int(binary.BigEndian.Uint32(got)) + 4
			if n > 4 && got[4] == byte(pp.Piece) {
				data = append(data, got[:n])
			} else {
				control = append(control, got[:n])
			}
			got = got[n:]
		}
		for _, m := range messages {
			if !m.Keepalive && m.Type == pp.Piece {
				wantData = append(wantData, raw(m))
			} else {
				wantControl = append(wantControl, raw(m))
			}
		}
		if !slices.EqualFunc(data, wantData, bytes.Equal) || !slices.EqualFunc(control, wantControl, bytes.Equal) {
			t.Fatalf("blocks %x want %x, the rest %x want %x", data, wantData, control, wantControl)
		}
	})
}
