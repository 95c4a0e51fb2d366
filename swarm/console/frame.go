package console

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"handful/manifest/bencode"
)

// ControlProtocol is the version of the control socket's protocol.
const ControlProtocol = 1

const (
	maxRequest = 1 << 20
	maxFrame   = 64 << 10
	maxWidth   = 1000 // columns
)

// The kinds of frame; see the package doc.
const (
	frameRequest = 'R'
	frameStdin   = 'I'
	frameEOF     = 'E'
	frameStop    = 'C'
	frameStdout  = 'O'
	frameStderr  = 'S'
	frameAccept  = 'A'
	frameNeed    = 'N'
	frameExit    = 'X'
)

var errFrame = errors.New("malformed control message")

// writeFrame sends one frame in one write.
func writeFrame(w io.Writer, kind byte, payload []byte) error {
	b := make([]byte, 0, 5+len(payload))
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	_, err := w.Write(append(b, payload...))
	return err
}

// readFrame reads one frame; what is longer than the kind allows is refused
// before anything is allocated for it.
func readFrame(r io.Reader) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	limit := uint32(maxFrame)
	switch head[0] {
	case frameRequest:
		limit = maxRequest
	case frameStdin, frameStop, frameStdout, frameStderr, frameExit:
	case frameEOF, frameAccept, frameNeed:
		limit = 0
	default:
		return 0, nil, fmt.Errorf("%w: a frame of unknown kind %q", errFrame, head[0])
	}
	if n > limit {
		return 0, nil, fmt.Errorf("%w: a frame %q of %d bytes, at most %d are allowed", errFrame, head[0], n, limit)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("%w: a frame %q cut short: %w", errFrame, head[0], err)
	}
	return head[0], payload, nil
}

// Request is a command that is handed to a running node.
type Request struct {
	Name  string            // the binary
	Args  []string          // without the binary's name
	Dir   string            // absolute working directory
	Env   map[string]string // only what EnvPrefix begins, NO_COLOR and TERM
	Width int               // columns of the client's terminal; 0 = none
}

func forwardable(name string) bool {
	return strings.HasPrefix(name, EnvPrefix) || name == "NO_COLOR" || name == "TERM"
}

func (q Request) append(b []byte) []byte {
	b = append(b, "d4:argsl"...)
	for _, a := range q.Args {
		b = bencode.AppendString(b, a)
	}
	b = append(b, 'e')
	b = bencode.AppendString(append(b, "3:dir"...), q.Dir)
	b = append(b, "3:envd"...)
	for _, k := range slices.Sorted(maps.Keys(q.Env)) {
		b = bencode.AppendString(b, k)
		b = bencode.AppendString(b, q.Env[k])
	}
	b = append(b, 'e')
	b = bencode.AppendString(append(b, "4:name"...), q.Name)
	b = bencode.AppendInt(append(b, "1:v"...), ControlProtocol)
	b = bencode.AppendInt(append(b, "5:width"...), int64(q.Width))
	return append(b, 'e')
}

// versionError is a request of another protocol version.
type versionError struct{ version int64 }

func (e versionError) Error() string {
	return fmt.Sprintf("the command speaks version %d of the control protocol, the running node version %d", e.version, ControlProtocol)
}

// parseRequest reads a request; what append would not print is refused. Of
// another version only the version is looked at.
func parseRequest(b []byte) (Request, error) {
	if v, err := requestVersion(b); err != nil {
		return Request{}, err
	} else if v != ControlProtocol {
		return Request{}, versionError{v}
	}
	var q Request
	r := bencode.NewReader(b)
	seen := ""
	r.Dict(func(key string) {
		seen += key + " "
		switch key {
		case "args":
			r.List(func() { q.Args = append(q.Args, r.String()) })
		case "dir":
			q.Dir = r.String()
		case "env":
			q.Env = map[string]string{}
			r.Dict(func(key string) {
				if !forwardable(key) {
					r.Fail(fmt.Errorf("%w: variable %q is not one that is forwarded", errFrame, key))
				}
				q.Env[key] = r.String()
			})
		case "name":
			q.Name = r.String()
		case "v":
			r.Int()
		case "width":
			n := r.Int()
			if n < 0 || n > maxWidth {
				r.Fail(fmt.Errorf("%w: a terminal of %d columns", errFrame, n))
			}
			q.Width = int(n)
		default:
			r.Fail(fmt.Errorf("%w: unknown key %q", errFrame, key))
		}
	})
	if err := r.End(); err != nil {
		return Request{}, err
	}
	if seen != "args dir env name v width " {
		return Request{}, fmt.Errorf("%w: a key is missing, there are only %s", errFrame, seen)
	}
	if !filepath.IsAbs(q.Dir) {
		return Request{}, fmt.Errorf("%w: the working directory %q is not absolute", errFrame, q.Dir)
	}
	return q, nil
}

func requestVersion(b []byte) (int64, error) {
	version := int64(-1)
	r := bencode.NewReader(b)
	r.Dict(func(key string) {
		if key == "v" {
			version = r.Int()
		} else {
			r.Skip()
		}
	})
	if err := r.End(); err != nil {
		return 0, err
	}
	if version < 0 {
		return 0, fmt.Errorf("%w: it names no version", errFrame)
	}
	return version, nil
}

// exit is the last frame of a server.
type exit struct {
	code    ExitCode
	gone    bool
	args    []string // with gone: what to run instead of the same command
	refused string
}

func (x exit) append(b []byte) []byte {
	b = append(b, 'd')
	if len(x.args) > 0 {
		b = append(b, "4:argsl"...)
		for _, a := range x.args {
			b = bencode.AppendString(b, a)
		}
		b = append(b, 'e')
	}
	b = bencode.AppendInt(append(b, "4:code"...), int64(x.code))
	if x.gone {
		b = append(b, "4:gonei1e"...)
	}
	if x.refused != "" {
		b = bencode.AppendString(append(b, "7:refused"...), x.refused)
	}
	return append(b, 'e')
}

func parseExit(b []byte) (exit, error) {
	var x exit
	coded := false
	r := bencode.NewReader(b)
	r.Dict(func(key string) {
		switch key {
		case "args":
			r.List(func() { x.args = append(x.args, r.String()) })
			if len(x.args) == 0 {
				r.Fail(fmt.Errorf("%w: an empty list of arguments", errFrame))
			}
		case "code":
			n := r.Int()
			if n < 0 || n > 255 {
				r.Fail(fmt.Errorf("%w: exit code %d", errFrame, n))
			}
			x.code, coded = ExitCode(n), true
		case "gone":
			if r.Int() != 1 {
				r.Fail(fmt.Errorf("%w: gone is 1 or left out", errFrame))
			}
			x.gone = true
		case "refused":
			if x.refused = r.String(); x.refused == "" {
				r.Fail(fmt.Errorf("%w: an empty refusal", errFrame))
			}
		default:
			r.Fail(fmt.Errorf("%w: unknown key %q", errFrame, key))
		}
	})
	if err := r.End(); err != nil {
		return exit{}, err
	}
	if !coded {
		return exit{}, fmt.Errorf("%w: it names no exit code", errFrame)
	}
	return x, nil
}
