package signing

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program finds another program, by any of its names.
func program(t *testing.T, names ...string) string {
	t.Helper()
	for _, n := range names {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
	}
	absent(t, "%s is not installed", names[0])
	return ""
}

// holder is somebody with a root key and another program.
type holder struct {
	name string
	form string
	key  func(t *testing.T, dir string) []byte                 // makes a key and returns the public one
	sign func(t *testing.T, dir string, payload string) []byte // signs the file payload
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// openssl holds a key of the kind that the arguments of genpkey say.
func openssl(form string, genpkey []string, pkeyutl ...string) holder {
	return holder{"openssl " + form, form, func(t *testing.T, dir string) []byte {
		run(t, dir, program(t, "openssl"), append(append([]string{"genpkey"}, genpkey...), "-out", "a.pem")...)
		run(t, dir, program(t, "openssl"), "pkey", "-in", "a.pem", "-pubout", "-out", "a.pub")
		return read(t, dir, "a.pub")
	}, func(t *testing.T, dir, payload string) []byte {
		args := []string{"pkeyutl", "-sign", "-inkey", "a.pem", "-rawin", "-in", payload, "-out", "a.sig"}
		run(t, dir, program(t, "openssl"), append(args, pkeyutl...)...)
		return read(t, dir, "a.sig")
	}}
}

func sshAgent(form, kind string) holder {
	return holder{"ssh-agent " + kind, form, func(t *testing.T, dir string) []byte {
		run(t, dir, program(t, "ssh-keygen"), "-q", "-t", kind, "-N", "", "-f", "id")
		return read(t, dir, "id.pub")
	}, func(t *testing.T, dir, payload string) []byte {
		message, err := os.ReadFile(payload)
		if err != nil {
			t.Fatal(err)
		}
		return agentSign(t, dir, read(t, dir, "id.pub"), message)
	}}
}

func holders() []holder {
	return []holder{
		openssl("raw Ed25519", []string{"-algorithm", "ed25519"}),
		openssl("ECDSA in DER", []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}, "-digest", "sha256"),
		{"minisign", "minisign", func(t *testing.T, dir string) []byte {
			run(t, dir, program(t, "minisign"), "-G", "-W", "-p", "mini.pub", "-s", "mini.key")
			return read(t, dir, "mini.pub")
		}, func(t *testing.T, dir, payload string) []byte {
			run(t, dir, program(t, "minisign"), "-S", "-l", "-s", "mini.key", "-m", payload, "-x", "mini.sig")
			return read(t, dir, "mini.sig")
		}},
		{"signify", "signify", func(t *testing.T, dir string) []byte {
			run(t, dir, program(t, "signify-openbsd", "signify"), "-G", "-n", "-p", "s.pub", "-s", "s.sec")
			return read(t, dir, "s.pub")
		}, func(t *testing.T, dir, payload string) []byte {
			run(t, dir, program(t, "signify-openbsd", "signify"), "-S", "-s", "s.sec", "-m", payload, "-x", "s.sig")
			return read(t, dir, "s.sig")
		}},
		sshAgent("ssh-agent Ed25519", "ed25519"),
		sshAgent("ssh-agent ECDSA", "ecdsa"),
	}
}

// agentSign starts an ssh-agent, gives it the key id, and has it sign a message, as
// draft-ietf-sshm-ssh-agent says.
func agentSign(t *testing.T, dir string, publicLine, message []byte) []byte {
	t.Helper()
	// The path of a socket is short, that of a test's directory need not be.
	short, err := os.MkdirTemp("", "hf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	socket := filepath.Join(short, "s")
	agent := exec.CommandContext(t.Context(), program(t, "ssh-agent"), "-D", "-a", socket)
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := agent.Process.Kill(); err == nil {
			_ = agent.Wait() // killed
		}
	})
	if _, err := out.Read(make([]byte, 1)); err != nil { // it says where it listens once it does
		t.Fatal(err)
	}
	add := exec.CommandContext(t.Context(), program(t, "ssh-add"), "-q", filepath.Join(dir, "id"))
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if text, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, text)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	blob, err := base64.StdEncoding.DecodeString(strings.Fields(string(publicLine))[1])
	if err != nil {
		t.Fatal(err)
	}
	put := func(b, s []byte) []byte { return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...) }
	request := binary.BigEndian.AppendUint32(put(put([]byte{13}, blob), message), 0) // SSH_AGENTC_SIGN_REQUEST
	if _, err := conn.Write(put(nil, request)); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(conn, head); err != nil || head[4] != 14 { // SSH_AGENT_SIGN_RESPONSE
		t.Fatalf("the agent answers %x: %v", head, err)
	}
	answer := make([]byte, binary.BigEndian.Uint32(head)-1)
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	sig, rest, ok := sshString(answer)
	if !ok || len(rest) > 0 {
		t.Fatalf("the agent answers %x", answer)
	}
	return sig
}

// TestOutsideSigners has a root of six keys signed by six other programs, none of which
// knows Handful: the first version, and its successor, which drops one of them.
func TestOutsideSigners(t *testing.T) {
	p := testParams()
	p.Root = RoleParams{Threshold: len(holders())}
	dirs := map[string]string{}
	keys := map[string]Key{}
	for _, h := range holders() {
		dirs[h.name] = t.TempDir()
		k, err := ParsePublicKey(h.key(t, dirs[h.name]))
		if err != nil {
			t.Fatalf("%s: %v", h.name, err)
		}
		keys[h.name] = k
		p.Root.Keys = append(p.Root.Keys, k.Public())
	}
	first, err := NewRoot(p)
	if err != nil {
		t.Fatal(err)
	}
	id := first.ID()
	for i, h := range holders() {
		attach(t, h, dirs[h.name], first, nil, keys[h.name])
		if own, _ := first.Lacking(nil); own != len(holders())-i-1 {
			t.Fatalf("%s: %d signatures are lacking", h.name, own)
		}
		if _, err := FirstRoot(id, first.Bytes()); (err == nil) != (i == len(holders())-1) {
			t.Fatalf("%s: %v", h.name, err)
		}
	}
	gone := holders()[1]
	second, err := first.Edit(RootEdit{Root: RoleEdit{Drop: []string{keys[gone.name].ID()[:12]}, Threshold: len(holders()) - 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range holders() {
		got := attach(t, h, dirs[h.name], second, first, keys[h.name])
		if got.Own != (h.name != gone.name) || !got.Before {
			t.Errorf("%s: counts for %+v", h.name, got)
		}
	}
	if _, err := first.Next(second.Bytes()); err != nil {
		t.Fatal(err)
	}
}

func attach(t *testing.T, h holder, dir string, r, before *Root, want Key) Attached {
	t.Helper()
	payload := filepath.Join(dir, "root.payload")
	if err := os.WriteFile(payload, r.Payload(), 0o600); err != nil {
		t.Fatal(err)
	}
	file := h.sign(t, dir, payload)
	// A signature over anything else must not do.
	other := testRoot(t)
	if _, err := other.Attach(file, r); err == nil {
		t.Errorf("%s: its signature counts over another document", h.name)
	}
	got, err := r.Attach(file, before)
	if err != nil {
		t.Fatalf("%s: %v", h.name, err)
	}
	if !got.Key.Equal(want) || got.Form != h.form {
		t.Errorf("%s: it is taken for %s by %s", h.name, got.Form, got.Key)
	}
	return got
}

// TestAttachForms reads signatures that are spelled in other ways, and says what is
// wrong with those that cannot do.
func TestAttachForms(t *testing.T) {
	root := newRoot(t, testParams())
	sig, err := rootKey.Sign(nil, root.Payload(), crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	framed := func(kind string) []byte { return append(append([]byte(kind), make([]byte, 8)...), sig...) }
	line := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) + "\n" }
	for name, tt := range map[string]struct {
		file []byte
		form string
		want string // of the error
	}{
		"raw":            {sig, "raw Ed25519", ""},
		"base64":         {[]byte(line(sig)), "raw Ed25519", ""},
		"signify":        {[]byte(comment + " x\n" + line(framed("Ed"))), "signify", ""},
		"carriage":       {[]byte(comment + " x\r\n" + line(framed("Ed"))), "signify", ""},
		"minisign":       {[]byte(comment + " x\n" + line(framed("Ed")) + "trusted comment: y\n" + line(sig)), "minisign", ""},
		"hashed":         {[]byte(comment + " x\n" + line(framed("ED")) + "trusted comment: y\n" + line(sig)), "", "minisign -S -l"},
		"other kind":     {[]byte(comment + " x\n" + line(framed("RS"))), "", `algorithm "RS"`},
		"one line":       {[]byte(comment + " x\n"), "", "lines"},
		"ssh wrapped":    {[]byte("-----BEGIN SSH SIGNATURE-----\nU1NI\n"), "", "ssh-agent"},
		"empty":          {nil, "", "neither"},
		"short":          {sig[:63], "", "neither"},
		"too long":       {bytes.Repeat([]byte("x"), maxOutside+1), "", "at most"},
		"another's":      {append([]byte{sig[0] ^ 1}, sig[1:]...), "", "no root key"},
		"DER of nothing": {[]byte{0x30, 0}, "", "no root key"},
	} {
		r := newRoot(t, testParams())
		got, err := r.Attach(tt.file, nil)
		if tt.want == "" && (err != nil || got.Form != tt.form || !got.Own || got.Before) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, ErrOutside) && !errors.Is(err, ErrForged)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestPublicKeyForms refuses keys that cannot sign documents.
func TestPublicKeyForms(t *testing.T) {
	for name, text := range map[string]string{
		"FIDO":        "sk-ssh-ed25519@openssh.com AAAA x",
		"RSA":         "ssh-rsa AAAA x",
		"cut off":     "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==",
		"private":     "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"nothing":     "",
		"words":       "no key",
		"short curve": "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAAABBA==",
	} {
		if k, err := ParsePublicKey([]byte(text)); err == nil {
			t.Errorf("%s: read as %s", name, k)
		}
	}
}
