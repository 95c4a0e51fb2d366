package console

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// listenControl makes a named pipe that only this user may open. Its name cannot
// be guessed, so that nobody else can take it first; the record in the state
// directory, which is the user's, tells it.
func listenControl(string) (net.Listener, string, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, "", fmt.Errorf("ask who this user is: %w", err)
	}
	name := `\\.\pipe\handful-` + rand.Text()
	l, err := winio.ListenPipe(name, &winio.PipeConfig{
		SecurityDescriptor: fmt.Sprintf("D:P(A;;GA;;;%s)", user.User.Sid),
		InputBufferSize:    maxFrame,
		OutputBufferSize:   maxFrame,
	})
	if err != nil {
		return nil, "", fmt.Errorf("listen on control pipe %s: %w", name, err)
	}
	return l, name, nil
}

// dialControl connects to the holder of a state directory; ErrNoHolder when
// nobody listens.
func dialControl(ctx context.Context, _, address string) (net.Conn, error) {
	c, err := winio.DialPipeContext(ctx, address)
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return nil, ErrNoHolder
	}
	if err != nil {
		return nil, fmt.Errorf("connect to control pipe %s: %w", address, err)
	}
	return c, nil
}

// checkPeer has nothing to add to the pipe's security descriptor.
func checkPeer(net.Conn) error { return nil }
