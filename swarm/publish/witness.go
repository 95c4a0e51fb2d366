package publish

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"handful/signing"
)

// ErrCosign: others have not signed the newest head yet. It is kept, and tried again.
var ErrCosign = errors.New("others have not signed the newest head yet")

// Cosigner adds the signatures of others to a head.
type Cosigner interface {
	// Cosign returns the head with further signature lines. The log proves that the
	// head continues what the cosigner signed before.
	Cosign(ctx context.Context, head []byte, log *Log) ([]byte, error)
}

// cosignTime is how long others may take to sign.
const cosignTime = 20 * time.Second

// cosign collects the signatures of others, as far as the documents ask for them.
func (p *Publisher) cosign(raw []byte) ([]byte, error) {
	if p.log.opens(raw) == nil {
		return raw, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), cosignTime)
	defer cancel()
	var errs error
	for _, c := range p.cfg.Cosigners {
		more, err := c.Cosign(ctx, raw, p.log)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		if raw = more; p.log.opens(raw) == nil {
			return raw, nil
		}
	}
	return nil, fmt.Errorf("channel %s: writer %s: %w: %w", p.ID(), p.writer, ErrCosign, errors.Join(p.log.opens(raw), errs))
}

// opens tells whether a head has all the signatures that it needs.
func (l *Log) opens(raw []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.cfg.openHead(raw)
	return err
}

// Consistency proves that the tree of size entries continues that of old entries (RFC 6962,
// section 2.1.2).
func (l *Log) Consistency(old, size int64) ([][32]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old < 0 || old > size || size > l.log.Size() {
		return nil, fmt.Errorf("log %s: a proof from %d to %d entries: it has %d", l.dir, old, size, l.log.Size())
	}
	if old == 0 || old == size {
		return nil, nil
	}
	proof, err := tlog.ProveTree(size, old, l.disk)
	if err != nil {
		return nil, fmt.Errorf("log %s: a proof from %d to %d entries: %w", l.dir, old, size, err)
	}
	var out [][32]byte
	for _, h := range proof {
		out = append(out, h)
	}
	return out, nil
}

// plain adds to a head the signature by which witnesses know logs: Ed25519 of C2SP's
// signed-note, beside our own lines, which are cosignatures.
func (l *Log) plain(raw []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return signing.PlainHead(raw, l.cfg.Key)
}

// Witness asks a C2SP tlog-witness (https://c2sp.org/tlog-witness) for its cosignature.
type Witness struct {
	Name   string // of its key, as the root document names it
	URL    string // its submission prefix; add-checkpoint is below it
	Client *http.Client

	mu  sync.Mutex
	old int64 // entries of the head that it has signed last, as far as is known
}

const maxWitness = 16 << 10 // bytes of an answer

// Cosign implements [Cosigner].
func (w *Witness) Cosign(ctx context.Context, raw []byte, log *Log) ([]byte, error) {
	h, err := signing.ParseHead(raw)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.old = min(w.old, h.Size) // a base may have taken the log back, for a witness too: it says so
	for range 2 {
		lines, knows, err := w.add(ctx, h, raw, log)
		if err != nil {
			return nil, fmt.Errorf("witness %s at %s: %w", w.Name, w.URL, err)
		}
		if lines == nil {
			w.old = knows
			continue
		}
		joined, err := signing.JoinHeads(raw, append([]byte(h.Text()+"\n"), lines...))
		if err != nil {
			return nil, fmt.Errorf("witness %s at %s: %w", w.Name, w.URL, err)
		}
		w.old = h.Size
		return joined, nil
	}
	return nil, fmt.Errorf("witness %s at %s: it does not say which head it has signed last", w.Name, w.URL)
}

// add submits a head. lines is nil when the witness knows another size, which it tells.
func (w *Witness) add(ctx context.Context, h signing.Head, raw []byte, log *Log) (lines []byte, knows int64, err error) {
	if w.old > h.Size {
		return nil, 0, fmt.Errorf("%w: it has signed a head over %d entries, and this one is over %d", signing.ErrRollback, w.old, h.Size)
	}
	proof, err := log.Consistency(w.old, h.Size)
	if err != nil {
		return nil, 0, err
	}
	var body bytes.Buffer
	fmt.Fprintf(&body, "old %d\n", w.old)
	for _, hash := range proof {
		fmt.Fprintln(&body, base64.StdEncoding.EncodeToString(hash[:]))
	}
	body.WriteByte('\n')
	signed, err := log.plain(raw)
	if err != nil {
		return nil, 0, err
	}
	body.Write(signed)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(w.URL, "/")+"/add-checkpoint", &body)
	if err != nil {
		return nil, 0, err
	}
	resp, err := w.Client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxWitness))
	if err != nil {
		return nil, 0, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return answer, 0, nil
	case http.StatusConflict:
		knows, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
		if err != nil || knows < 0 || knows == w.old {
			return nil, 0, fmt.Errorf("it refuses (%s): %.100q", resp.Status, answer)
		}
		return nil, knows, nil
	}
	return nil, 0, fmt.Errorf("it refuses (%s): %.100q", resp.Status, answer)
}
