// Package console is how the two binaries speak with people and programs: the
// lines they print, the bars, the exit codes, the options that both share, and
// the control socket through which a command hands its work to the node that
// already holds the state directory. It shows state and owns none of the swarm's.
//
// # What goes where
//
// Results go to stdout, and nothing else does: `fetch -q LINK` prints one path,
// `seed publish` one link. Progress, remarks, logs and errors go to stderr. Bars
// are drawn only when stderr itself is a terminal of more than 20 columns whose
// TERM is not "dumb"; log lines are printed above them and they are cleared at
// the end. Without a terminal there is one plain line every 30 s.
//
// With --json stdout carries JSON Lines instead: one object a line, the first
// member always "type"; line.go has them all. Progress comes at most once a
// second. When a command fails its last line on stdout is
//
//	{"type":"error","code":10,"message":"open ./x: no such file or directory","hint":"check the path"}
//
// Members may be added to a line, none is ever renamed or taken away. Names and
// texts that come from elsewhere are printed without their control characters.
//
// # Exit codes
//
// Code is the only place where an error becomes an exit code; the table is in
// code.go and in `seed help exit-codes`. Errors print as
//
//	fetch: error: open ./x: no such file or directory
//	fetch: hint: check the path
//
// # Options
//
// Every flag --some-flag has an environment twin HANDFUL_SOME_FLAG; the flag
// wins over the variable, and the variable over the default. A value that does
// not parse is a usage error that names the flag or the variable. Rates are
// bytes per second with K, M, G = 1024.
//
// # Control socket
//
// A running node holds its state directory. It listens on a unix socket
// (control.sock in that directory, or, where the path would be too long for a
// socket address, a hashed name in a 0700 directory of its own under
// $XDG_RUNTIME_DIR or the system's temporary directory); on Windows on a named
// pipe. The file "control" in the state directory says which:
//
//	{"protocol":1,"pid":4242,"address":"control.sock"}
//
// Only the user who runs the node may connect: file modes keep others out, and
// the peer's credentials are checked as well where the system tells them. What
// may connect may do all that the node may do; there is no weaker grade.
//
// A frame is one byte of kind, four bytes of length (big endian, at most 1 MiB
// for a request and 64 KiB for all others), and that many bytes. Dictionaries are
// bencode, so that arguments and paths may be any bytes:
//
//	client  R  request {args: list, dir, env: dictionary, name: "fetch", v: 1, width: 80}
//	        I  bytes of stdin; only after N          E  end of stdin
//	        C  stop: "interrupted" or "terminated"
//	server  A  the request is accepted; sent at once, so that a node that is
//	           stopped (SIGSTOP) or hangs is told from one that works in silence
//	        O  bytes of stdout                       S  bytes of stderr
//	        N  stdin is wanted (sent once, when the command first reads)
//	        X  the end {code: 0}; with gone: 1 when the node itself stops: the
//	           client then runs args, or the same command, as the holder of the
//	           state directory; with refused: TEXT when nothing was run
//
// The client sends R first, and nothing else before I, E or C. The server runs
// the command with the request's arguments, directory and environment, and sends
// X last. Ctrl-C at the client cancels that one request and nothing else; so does
// a client that vanishes. Another protocol version is refused with a text that
// says what to restart.
package console
