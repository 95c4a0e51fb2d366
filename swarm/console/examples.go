package console

import (
	"handful/manifest"
	"handful/signing"
	"handful/swarm/feed"
)

// examples are one line of every type, as the help topic shows them and the
// golden test pins them.
func examples() []Line {
	const (
		id   = "agaagous2iblbck5bxt5vgup4l442xu5hilnvpso"
		hash = "2c26b46b68ffc68ff99b453c1d30413413422d70"
		sum  = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
	)
	received := Received{Link: 1048576, Origin: 524288, Reused: 65536}
	return []Line{
		Listening{Addr: "192.0.2.7:6881", Tracker: "http://192.0.2.7:6881/announce"},
		Published{Channel: id, Writer: "m", Index: 3, Link: "handful:" + id + "/m/3?dn=Demo&pe=192.0.2.7:6881",
			Magnet: "magnet:?xt=urn:btih:" + hash + "&dn=Demo", Infohash: hash, InfohashV2: sum, Bytes: 1638400, Files: 12, Torrent: "/state/seed/torrents/" + hash + ".torrent"},
		Progress{Done: 524288, Total: 1638400, DownRate: 1048576, UpRate: 4096, Peers: 3},
		Done{Path: "/tmp/Demo", Bytes: 1638400, Seconds: 1.5, Verified: true, Received: received, Wasted: 16384, Uploaded: 32768},
		Done{Path: "/tmp/news/m-7/The slides files", Bytes: 1638400, Seconds: 1.5, Verified: true, Received: received, Link: "handful:" + id + "/m/7"},
		Seeding{Until: "2026-01-02T15:04:05Z", Ratio: 2},
		Entry{Channel: id, Writer: "m", Index: 1, Kind: "post", Title: "Hello", Text: "First post", Time: "2026-01-02T15:04:05Z", State: "fresh"},
		Status{Node: "serve", PID: 4242, StateDir: "/state/seed", Addr: "192.0.2.7:6881", Tracker: "http://192.0.2.7:6881/announce", Since: "2026-01-02T15:04:05Z",
			Peers: 3, UpRate: 1048576, Uploaded: 4915200, Items: 1},
		Item{Link: "handful:" + id + "/m/3", Channel: id, Writer: "m", Index: 3, Name: "Demo", Title: "A demo", Infohash: hash, Bytes: 1638400, Files: 12, Path: "/home/ann/Demo",
			State: "seeding", Done: 1638400, Peers: 3, UpRate: 1048576, Uploaded: 4915200, Published: "2026-01-02T15:04:05Z",
			Granted: &Shared{Times: [4]int{0, 23, 2, 0}, Leechers: 3, Served: 2, Ever: 8, Copies: 1.08}},
		Item{Link: "magnet:?xt=urn:btih:" + hash, Name: "Demo", Infohash: hash, Bytes: 1638400, Files: 12, Path: "/tmp/Demo",
			State: "seeding", Done: 1638400, Received: &received, Wasted: 16384},
		Granted{Infohash: hash, Index: 7, Times: 2, Held: 1, To: []Grantee{{Addr: "192.0.2.8:6881", Client: "Handful"}, {Addr: "192.0.2.9:51413"}}},
		Explained{Infohash: hash, Name: "Demo", State: "fetching", Bytes: 1638400, Done: 131072, Pieces: 25, PieceLength: 65536, Received: received, Wasted: 16384},
		Piece{Index: 7, State: "received", From: "192.0.2.8:6881", Client: "Handful", Tier: "link", Reason: "spill", KeptBy: "192.0.2.9:51413 (Handful)", Waited: 2.25, Views: 2, Bytes: 49152,
			Also: []PieceShare{{From: "192.0.2.9:51413", Client: "Handful", Tier: "link", Bytes: 16384}}},
		Piece{Index: 8, State: "missing", Reason: "nobody"},
		Offer{Link: "handful:" + id + "/m/3?pe=192.0.2.7:6881", Channel: id, Writer: "m", Index: 3, Name: "Demo", Bytes: 1638400, Peer: "192.0.2.7:6881", Interface: "eth0", Time: "2026-01-02T15:04:05Z"},
		Verified{Path: "/tmp/Demo", Bytes: 1638400, Files: 12, Verified: false, Bad: []string{"a/b.txt"}, BadFiles: 1},
		Withdrawn{Link: "handful:" + id + "/m/3", Name: "Demo", Index: 4, Reason: "wrong file"},
		toldExample(id),
		Followed{Channel: id, Name: "demo", Link: "handful:" + id + "?pe=192.0.2.7:6881"},
		Followed{Channel: id, Name: "demo", Link: "handful:" + id + "?pe=192.0.2.7:6881", Node: "serve"},
		Around{Channel: id, Name: "demo", Writers: []string{"alice", "m"}, Others: 3},
		Feeds{URL: "http://127.0.0.1:6880/feeds.opml"},
		Posted{Channel: id, Writer: "m", Index: 5, Link: "handful:" + id + "/m/5", Title: "Tea at four", Bytes: 46},
		Posted{Channel: id, Writer: "m", Index: 6, Link: "handful:" + id + "/m/6", Title: "Episode 3", ID: "tag:example.org,2026:3", Changed: true, Bytes: 310},
		Posted{Channel: id, Writer: "m", Index: 7, Link: "handful:" + id + "/m/7", Title: "The slides", Bytes: 190, Files: 2, Content: 1638400},
		Feed{Source: "https://example.org/feed", Channel: id, Title: "Example", Format: "rss 2.0", Items: 12, New: 2, Changed: 1, Next: "2026-01-02T15:04:05Z"},
		Feed{Source: "/home/ann/feed.xml", Channel: id, Items: 12, Listed: true},
		Key{Channel: id, Name: "default", Link: "handful:" + id, Path: "/state/seed/keys/default", Root: "cm9vdA==", Online: "b25saW5l", DHT: "ZGh0"},
		Exported{Channel: id, Path: "/media/stick/default.keys", Keys: []string{"root", "head", "targets", "dht"}},
		Exported{Channel: id, Path: "/media/stick/root.pem", Moved: true, Keys: []string{"root"}},
		Explanation{Channel: id, Document: "root", Version: 2, Text: []string{"This is version 2 of the root document of the channel; the version before is 1.", "Nothing changes but the version."}},
		Payload{Channel: id, Document: "root", Version: 2, Path: "/home/ann/2.root.payload", Lacking: 2, LackingBefore: 1},
		Signature{Document: "root", Version: 2, Key: sum, Form: "minisign"},
		Document{Channel: id, Document: "root", Version: 2, Expires: "2027-01-02T15:04:05Z"},
		Writer{Channel: id, Name: "alice", Paths: []string{"docs/*"}, Keys: []string{sum}, Need: 1},
		PublicKey{Path: "/home/ann/alice.pub", Key: sum, For: "writer alice"},
		Channel{Channel: id, Name: "default", Title: "Demo", Writer: "m", Entries: 3, Signed: 3, Around: []string{"alice", "m"}, Others: 1, Root: 1, RootNeed: 1, RootKeys: 1, RootExpires: "2028-01-02T15:04:05Z",
			Targets: 1, TargetsExpires: "2027-01-02T15:04:05Z", Writers: []string{"alice"}, Here: []string{"root", "head", "dht"}, Next: []string{"move root.pem to another place: seed key offline FILE"}},
		Repaired{Channel: id, Writer: "m", Entries: 2, Version: 3},
		Reader{Channel: id, Name: "ann", Key: "age1…"},
		Rekeyed{Channel: id, New: true, Readers: 2, Index: 7, Link: "handful:" + id + "#k=AGE-SECRET-KEY-1…"},
		Rekeyed{Channel: id, Index: -1, Link: "handful:" + id + "#k=AGE-SECRET-KEY-1…"},
		ChannelLink{Channel: id, Link: "handful:" + id + "#k=AGE-SECRET-KEY-1…"},
		ReaderKey{Key: "age1…", Path: "/state/fetch/reader.key"},
		Trust{Channel: id, Title: "Demo", State: "fresh", Roots: []TrustRoot{{Version: 1, Expires: "2028-01-01T00:00:00Z", Need: 2, Keys: 3}}, Targets: 2, Until: "2027-01-01T00:00:00Z"},
		Standing{Channel: id, Writer: "m", State: "fresh", Entries: 7, Root: sum, Signed: "2026-01-02T15:04:05Z", Age: 65, Sources: 3, Asked: 3,
			Withdrawn: []TakeBack{{First: 5, Last: 8, Version: 2}}},
		Evidence{Channel: id, Writer: "m", Path: "demo.fork", Heads: [2]Head{{Entries: 7, Root: sum, Signed: "2026-01-02T15:04:05Z"}, {Entries: 9, Root: sum, Signed: "2026-01-03T15:04:05Z"}}},
		Proof{Channel: id, Writer: "m", Index: 3, Kind: "media", Name: "Demo", Path: "demo.proof", Signed: "2026-01-02T15:04:05Z", Entries: 7, Root: 1},
		Mirrored{Channel: id, Path: "/var/www/handful", Link: "handful:" + id + "?ws=https://example.org/handful/", Entries: 412, Items: 3, Written: 7, Bytes: 1638400, Kept: 40},
		Bundled{Channel: id, Path: "/media/stick/news.bundle", Link: "handful:" + id, Entries: 12, Items: 1, Bytes: 1703936},
		Taken{Channel: id, Title: "Demo", Entries: 12, Items: 1, State: "fresh", Signed: "2026-01-02T15:04:05Z"},
		Plan{Action: "publish", Name: "Demo", Bytes: 1638400, Files: 12, Format: "hybrid", PieceLength: 65536, Pieces: 25, Infohash: hash},
		TryPeer{Peer: 1, Bytes: 67108864, Seconds: 1.25, Verified: true, Received: Received{Link: 58720256, Origin: 8388608}, Uploaded: 50331648},
		TryTotal{Peers: 8, Bytes: 67108864, Origin: 80530636, Copies: 1.2, Seconds: 1.5, AddsUp: true},
		Version{Version: "v0.1.0", Commit: "0123456789ab", Go: "go1.26.8", Platform: "linux/amd64", Control: ControlProtocol},
		Warning{Message: "this machine's clock is 12 minutes behind", Hint: "set it"},
		Note{Message: "handed to the node that already runs"},
		Error{Code: NotFound, Message: "open ./x: no such file or directory", Hint: "check the path"},
	}
}

// toldExample is an entry as follow prints it.
func toldExample(id string) Told {
	channel, err := signing.ParseID(id)
	if err != nil {
		channel = signing.ID{} // the golden test shows it
	}
	post := manifest.Post{Head: manifest.Header{Time: 1767366245000}, Title: "Tea \x1b[1mat\x1b[0m four", Body: "In the garden.\nBring cups.", ReplyTo: "m/4",
		Author: "Ann", Link: "https://example.org/tea", Tags: []string{"tea"}}
	return Told{Entry: feed.Entry{Channel: channel, Writer: "alice", Index: 7, State: "late", Post: post}, Name: "demo"}
}
