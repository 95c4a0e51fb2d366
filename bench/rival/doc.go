// Package rival drives the BitTorrent clients (and one HTTP server) that this project is measured against and must work
// with, and this project's own two commands in the same way.
//
// # A run
//
// A Client makes Instances: running programs, one seeding or one leeching. A Job says what an instance has to do.
//
//	c := rival.Libtorrent()
//	if _, err := c.Find(ctx); err != nil { … }               // errors.Is(err, rival.ErrMissing): not installed
//	seed, err := c.Seed(ctx, rival.Job{Torrent: "x.torrent", Dir: "data", Listen: a, Work: t.TempDir()})
//	defer seed.Stop()
//	err = seed.Ready(ctx)                                     // it has checked the files and takes connections
//	leech, err := c.Leech(ctx, rival.Job{Magnet: m, Dir: out, Listen: b, Peers: []netip.AddrPort{a}, Work: …})
//	defer leech.Stop()
//	err = leech.Wait(ctx)                                     // complete; or why not, with the end of its log
//
// An instance belongs to the context it was made with: when that ends, the program is killed with all it started.
//
// # What the clients can do
//
// All speak TCP only (uTP is switched off, since this project is built without it), and DHT, LSD and port mapping are off,
// so that an instance knows exactly the peers it was told. Everything else is as the program comes. Not every program
// takes a list of peers: Abilities says so. For the rest there is PeerList, a tracker that hands every leecher the same list.
//
// Transmission refuses any peer in 127.0.0.0/8, so it needs Job.Namespace: package netns makes one with other addresses.
//
// # How an event is heard
//
// No driver polls. libtorrent (a script run by Debian's own Python), the stock engine (bench/stock) and our commands print
// JSON Lines; aria2, Transmission and rtorrent run a hook on completion, which writes a word into a named pipe in
// Job.Work; curl is done when it exits with 0. Instance.DoneAt is the moment the event was read.
package rival
