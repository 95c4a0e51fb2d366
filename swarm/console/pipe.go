package console

import (
	"io"
	"sync"
)

// pipe is the stdin of a command that was handed over: nothing is asked of the
// client before the command reads.
type pipe struct {
	need func() // called once, before the first Read waits

	mu    sync.Mutex
	ready *sync.Cond
	asked bool
	buf   []byte
	err   error // what Read returns once buf is empty; nil while more may come
}

// maxPiped bounds what a client can make the node keep: commands read links and
// keys from stdin, never content.
const maxPiped = 16 << 20

func newPipe(need func()) *pipe {
	p := &pipe{need: need}
	p.ready = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.asked && p.err == nil {
		p.asked = true
		p.mu.Unlock()
		p.need()
		p.mu.Lock()
	}
	for len(p.buf) == 0 && p.err == nil {
		p.ready.Wait()
	}
	if len(p.buf) == 0 {
		return 0, p.err
	}
	n := copy(b, p.buf)
	p.buf = p.buf[n:]
	return n, nil
}

func (p *pipe) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	if len(p.buf)+len(b) > maxPiped {
		p.err = io.ErrShortBuffer
	} else {
		p.buf = append(p.buf, b...)
	}
	p.ready.Broadcast()
}

func (p *pipe) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.ready.Broadcast()
}
