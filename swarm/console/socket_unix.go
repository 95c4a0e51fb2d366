//go:build !windows

package console

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// maxSocketPath is what every system takes: 104 bytes with the NUL on macOS and
// the BSDs, 108 on Linux.
const maxSocketPath = 103

// listenControl makes the socket of a state directory whose lock the caller
// holds: what is left of a dead holder's socket is removed. It returns the
// address for the record.
func listenControl(dir string) (net.Listener, string, error) {
	path := filepath.Join(dir, socketName)
	if len(path) <= maxSocketPath {
		l, err := listenUnix(path)
		if err == nil {
			return l, socketName, nil
		}
		// Some file systems know no sockets: the other place may.
		if errors.Is(err, os.ErrPermission) {
			return nil, "", err
		}
	}
	private, err := runtimeDir()
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256([]byte(dir))
	path = filepath.Join(private, fmt.Sprintf("%x.sock", sum[:8]))
	l, err := listenUnix(path)
	return l, path, err
}

func listenUnix(path string) (net.Listener, error) {
	if err := removeSocket(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on control socket %s: %w", path, err)
	}
	// Between Listen and Chmod the mode is what umask leaves; checkPeer closes that gap.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// removeSocket removes a socket, and nothing that is not one.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is in the way of the control socket and is no socket", path)
	}
	return os.Remove(path)
}

// runtimeDir returns a directory for sockets that belongs to this user alone:
// others could put a socket of theirs into a shared one.
func runtimeDir() (string, error) {
	base := os.Getenv("XDG_RUNTIME_DIR")
	if base == "" {
		base = os.TempDir()
	}
	dir := filepath.Join(base, "handful-"+strconv.Itoa(os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s must be a directory of this user alone (mode 0700)", dir)
	}
	return dir, nil
}

// dialControl connects to the holder of dir; ErrNoHolder when nobody listens.
func dialControl(ctx context.Context, dir, address string) (net.Conn, error) {
	if !filepath.IsAbs(address) {
		address = filepath.Join(dir, filepath.Base(address))
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", address)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		return nil, ErrNoHolder
	}
	if err != nil {
		return nil, fmt.Errorf("connect to control socket %s: %w", address, err)
	}
	if err := checkPeer(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// checkPeer refuses whoever is another user, where the system tells.
func checkPeer(c net.Conn) error {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("control connection of type %T", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	uid := -1
	var credErr error
	if err := raw.Control(func(fd uintptr) { uid, credErr = peerUID(int(fd)) }); err != nil {
		return err
	}
	if credErr != nil {
		return fmt.Errorf("ask who is at the other end of the control socket: %w", credErr)
	}
	if uid != os.Getuid() {
		return fmt.Errorf("the other end of the control socket is user %d, not %d: %w", uid, os.Getuid(), os.ErrPermission)
	}
	return nil
}
