package console

import (
	"handful/manifest"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/feed"
	"handful/swarm/publish"
	"handful/swarm/store"
)

const (
	hintLink  = "copy the link again, whole; `help links` says what a link may be"
	hintTrust = "nothing of it was taken over; ask the publisher by another way which link is right"
	hintOwn   = "stop the other process, or give this command its own --state-dir"
	hintDisk  = "free some space and run the same command again: it goes on from what is on disk"
	hintOther = "choose another directory with -o, or replace what is there with --force"
)

// rules are the errors of other packages that have a code of their own, in the
// order in which they are tried. What is not here, is no Fault and is no error of
// the system ends with 1.
func rules() []rule {
	return []rule{
		is(ErrNoHolder, Locked, hintOwn),
		is(store.ErrLocked, Locked, hintOwn),

		is(store.ErrDiskFull, NoSpace, hintDisk),
		is(store.ErrPermission, NoSpace, "choose a place that you may write to, or change its permissions"),
		is(store.ErrExists, NoSpace, hintOther),
		is(store.ErrIsFile, NoSpace, hintOther),
		is(store.ErrElsewhere, NoSpace, "use it where it is, or withdraw it there first"),
		is(store.ErrName, NoSpace, "fetch it on another system, or to another file system"),
		is(store.ErrCorrupt, Failed, "the files themselves are untouched: move the state away and add them again"),
		is(store.ErrChanged, Failed, "publish it again; what was published cannot be changed"),
		is(store.ErrMismatch, Unverified, "the torrent itself contradicts what is in it: ask the publisher for another"),
		is(store.ErrNotFound, NotFound, "see `ls` or `status` for what is there"),

		is(publish.ErrNotGranted, Refused, "give the file NAME.pub that `seed writer join` wrote to the channel's owner, who runs `seed writer add`; and be where peers of the channel can be reached (--peer)"),
		is(publish.ErrBehind, Refused, "nothing was signed; see `seed help repair`"),
		is(publish.ErrUnheard, NotFound, "publish while somebody who has the channel can be reached (--peer); see `seed help repair`"),
		is(publish.ErrUnconfirmed, NotFound, "publish while somebody who has the channel can be reached (--peer); see `seed help repair`"),
		is(publish.ErrNoKey, NotFound, "publish on the machine that has it, or take it in with `seed key import`"),
		is(publish.ErrCosign, Partly, "it is in the log and is published as soon as they have signed: do not publish it again"),
		is(publish.ErrDamaged, Failed, ""),
		is(signing.ErrOutside, Usage, "`seed help root add` says what keys and signatures may look like"),

		is(signing.ErrLink, Usage, hintLink),
		is(manifest.ErrMagnet, Usage, hintLink),
		is(signing.ErrFuture, Refused, "set this machine's clock, or ask the publisher to set theirs"),
		is(signing.ErrUnsupported, Refused, "a newer release may understand it"),
		is(signing.ErrFork, Refused, "what was verified before stays usable; the publisher must repair the channel"),
		is(signing.ErrRollback, Refused, hintTrust),
		is(signing.ErrForged, Refused, hintTrust),
		is(signing.ErrOtherChannel, Refused, hintTrust),
		is(signing.ErrOtherWriter, Refused, hintTrust),
		is(signing.ErrUnknownWriter, Refused, hintTrust),
		is(signing.ErrGap, Refused, hintTrust),
		is(signing.ErrWitness, Refused, hintTrust),
		is(signing.ErrBogus, Refused, hintTrust),
		is(signing.ErrWithdrawn, Refused, hintTrust),
		is(signing.ErrNotGranted, Refused, hintTrust),
		is(signing.ErrNotConfirmed, Refused, hintTrust),
		is(signing.ErrMalformed, Refused, hintTrust),

		is(keyfile.ErrNotFound, NotFound, "publish something to make the channel, or `seed key import` its keys"),
		is(keyfile.ErrExists, NoSpace, "the keys that are there stay; move them away first if they are not wanted"),
		is(keyfile.ErrDamaged, Failed, "import the export that was made as a backup"),

		is(feed.ErrMalformed, Failed, "give it the address of the RSS, Atom or JSON feed itself, not of the page"),
		is(feed.ErrGone, NotFound, "stop importing it"),

		is(manifest.ErrMismatch, Unverified, "fetch it again, or ask the publisher for another"),
		is(manifest.ErrChanged, Failed, "publish it when nothing writes to it"),
		is(manifest.ErrCollision, Failed, "rename one of the two"),
		is(manifest.ErrUnsafePath, Failed, "a path must stay below the published directory and be possible on every system"),
		is(manifest.ErrUnsupported, Failed, "only files, directories and symbolic links can be published"),
	}
}
