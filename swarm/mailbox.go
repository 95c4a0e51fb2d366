package swarm

import "sync"

// mailbox carries functions to the loop. Posting never blocks, because engine
// callbacks post under the engine's lock; what may come in floods from peers is
// bounded by tryPost.
type mailbox struct {
	mu     sync.Mutex
	queue  []func()
	closed bool
	wake   chan struct{} // capacity 1
}

// floodLimit is how many waiting functions make tryPost refuse more.
const floodLimit = 1 << 14

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// post queues f. It reports false once the mailbox is closed.
func (m *mailbox) post(f func()) bool { return m.put(f, false) }

// tryPost queues f unless too much is waiting.
func (m *mailbox) tryPost(f func()) bool { return m.put(f, true) }

func (m *mailbox) put(f func(), limited bool) bool {
	m.mu.Lock()
	if m.closed || limited && len(m.queue) >= floodLimit {
		m.mu.Unlock()
		return false
	}
	m.queue = append(m.queue, f)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return true
}

// take returns what is waiting, oldest first.
func (m *mailbox) take() []func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queue
	m.queue = nil
	return q
}

// close refuses further posts and drops what is waiting.
func (m *mailbox) close() []func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	q := m.queue
	m.queue = nil
	return q
}
