package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"handful/signing"
	"handful/swarm/console"
)

// The part of the protocol of ssh-agent (draft-ietf-sshm-ssh-agent) that signs: messages
// behind their length, of which the first byte is the type.
const (
	agentFailure    = 5
	agentIdentities = 11 // asked with
	agentAnswer     = 12 // answered with
	agentSign       = 13
	agentSigned     = 14

	maxAgent  = 256 << 10 // bytes of a message
	agentTime = 2 * time.Minute
)

var errAgent = errors.New("ssh-agent does not answer as it should")

// identity is a public key that the agent holds the other half of.
type identity struct {
	blob []byte
	key  signing.Key
}

// signByAgent lets ssh-agent sign, with the key that was asked for or the first that the
// document, or the version before, names.
func (r *signRequest) signByAgent(a *console.App, d *proposed) (key signing.Key, sig []byte, err error) {
	socket := a.Env.Get("SSH_AUTH_SOCK")
	if socket == "" {
		return key, nil, &console.Fault{Code: console.NotFound, Message: "SSH_AUTH_SOCK is not set: no ssh-agent runs for this shell", Hint: "eval $(ssh-agent); ssh-add KEY"}
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		return key, nil, fmt.Errorf("reach ssh-agent: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(a.Env.Now().Add(agentTime)); err != nil {
		return key, nil, err
	}
	all, err := identities(c)
	if err != nil {
		return key, nil, err
	}
	id, err := r.choose(a, d, all)
	if err != nil {
		return key, nil, err
	}
	ask := agentString([]byte{agentSign}, id.blob)
	ask = agentString(ask, d.payload)
	answer, err := agentAsk(c, binary.BigEndian.AppendUint32(ask, 0), agentSigned)
	if err != nil {
		return key, nil, fmt.Errorf("let ssh-agent sign with %s: %w", id.key, err)
	}
	sig, _, ok := cutString(answer)
	if !ok {
		return key, nil, errAgent
	}
	return id.key, sig, d.check(a, id.key, sig)
}

// choose picks the key to sign with.
func (r *signRequest) choose(a *console.App, d *proposed, all []identity) (identity, error) {
	if r.sshKey != "" {
		want, err := publicKey(a, r.sshKey)
		if err != nil {
			return identity{}, err
		}
		for _, id := range all {
			if id.key.Equal(want) {
				return id, nil
			}
		}
		return identity{}, &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("ssh-agent does not hold %s", want), Hint: "ssh-add it"}
	}
	for _, r := range []*signing.Root{d.root, d.rootBefore} {
		if r == nil {
			continue
		}
		for _, k := range r.Role(signing.RoleRoot).Keys {
			for _, id := range all {
				if id.key.Equal(k) {
					return id, nil
				}
			}
		}
	}
	return identity{}, &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("none of the %d usable keys that ssh-agent holds is named by the document", len(all)), Hint: "say which with --ssh-key FILE.pub"}
}

// identities asks which keys the agent holds; those of kinds that cannot sign documents are
// left out.
func identities(c io.ReadWriter) (all []identity, err error) {
	b, err := agentAsk(c, []byte{agentIdentities}, agentAnswer)
	if err != nil {
		return nil, fmt.Errorf("ask ssh-agent for its keys: %w", err)
	}
	if len(b) < 4 {
		return nil, errAgent
	}
	n := binary.BigEndian.Uint32(b)
	b = b[4:]
	for range n {
		blob, rest, ok := cutString(b)
		if !ok {
			return nil, errAgent
		}
		if _, b, ok = cutString(rest); !ok { // the comment
			return nil, errAgent
		}
		kind, _, ok := cutString(blob)
		if !ok {
			return nil, errAgent
		}
		key, err := signing.ParsePublicKey([]byte(string(kind) + " " + base64.StdEncoding.EncodeToString(blob)))
		if err == nil {
			all = append(all, identity{blob, key})
		}
	}
	return all, nil
}

// agentAsk sends a message and returns what the answer has behind its type.
func agentAsk(c io.ReadWriter, ask []byte, want byte) ([]byte, error) {
	if _, err := c.Write(agentString(nil, ask)); err != nil {
		return nil, err
	}
	var length [4]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > maxAgent {
		return nil, errAgent
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	switch b[0] {
	case want:
		return b[1:], nil
	case agentFailure:
		return nil, errors.New("it refuses")
	}
	return nil, errAgent
}

// agentString appends a string of RFC 4251, section 5.
func agentString(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}
