package rival

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

type nginx struct{}

// Nginx is plain HTTP: nginx serves, curl fetches. One file; peers other than the first are not used.
func Nginx() Client { return nginx{} }

func (nginx) Name() string { return "nginx+curl" }
func (nginx) Can() Abilities {
	return Abilities{Peers: true, Loopback: true}
}

func (nginx) Find(ctx context.Context) (string, error) {
	server, err1 := find(ctx, nginxProgram(), "nginx-light", "-v")
	client, err2 := find(ctx, "curl", "curl", "--version")
	return server + "+" + client, errors.Join(err1, err2)
}

// nginxProgram: Debian keeps it where only root's PATH leads.
func nginxProgram() string {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path
	}
	return "/usr/sbin/nginx"
}

func (n nginx) Seed(ctx context.Context, j Job) (*Instance, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	if j.UpLimit > 0 || j.DownLimit > 0 {
		return nil, fmt.Errorf("%w: nginx limits a connection, not the whole uplink; shape the link instead", ErrUnsupported)
	}
	config := fmt.Sprintf(`daemon off; master_process off; worker_processes 1; pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
	access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
	client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3;
	uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
	server { listen %[2]s; root %[3]s; }
}
`, j.Work, j.Listen, j.Dir)
	path := filepath.Join(j.Work, "nginx.conf")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return nil, fmt.Errorf("write nginx's configuration: %w", err)
	}
	return start(ctx, j, program{
		name: "nginx", args: []string{nginxProgram(), "-c", path, "-e", filepath.Join(j.Work, "error.log")}, readyAtStart: true,
	})
}

func (n nginx) Leech(ctx context.Context, j Job) (*Instance, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	if len(j.Peers) == 0 {
		return nil, fmt.Errorf("%w: curl needs the server's address as the first peer", ErrUnsupported)
	}
	name, err := j.name()
	if err != nil {
		return nil, err
	}
	from := url.URL{Scheme: "http", Host: j.Peers[0].String(), Path: "/" + name}
	args := []string{"curl", "-q", "--fail", "--silent", "--show-error", "--retry", "10", "--retry-connrefused", "--retry-delay", "1",
		"--interface", j.Listen.Addr().String(), "-o", filepath.Join(j.Dir, name), from.String()}
	if j.DownLimit > 0 {
		args = append(args, "--limit-rate", strconv.FormatInt(j.DownLimit, 10))
	}
	return start(ctx, j, program{name: "curl", args: args, readyAtStart: true, exitIsDone: true})
}
