// Package feed takes text in and gives it out: RSS, Atom and JSON Feed documents of
// others become posts of a channel, and a channel's posts become documents that any
// feed reader reads. It knows no node; time and HTTP clients are passed in.
//
//	document --Parse--> items --Plan--> posts of the channel, for its log
//	entries of a channel --Atom, RSS, JSON--> document --Handler--> feed readers
//	                     --Sanitize--> terminal   --Archive--> disk   --Hook--> programs
//
// # Text of strangers
//
// No text is trusted, not even of a channel that is followed. Each way out has its own
// protection, and none relies on another: [Sanitize] for terminals, plain text or
// escaped HTML in documents, escapes in [Entry.Line] for everything that shows nothing,
// links of known schemes only. HTML is only ever read, by [Text]; it is never passed
// on. What is read keeps its bidi controls and joiners, which some languages need; documents
// leave out those that override the direction of all letters.
//
// # In
//
// [Parse] reads RSS 0.9x, 1.0 and 2.0 with what is common of Dublin Core, content,
// media and iTunes, Atom 0.3 and 1.0, and JSON Feed 1.x. A document has at most 8 MiB,
// 300 000 elements and 256 of them within each other; of its items the first 1000
// are read, of a text 512 KiB, a title 1 KiB, a link 2 KiB, 32 tags, 16 attachments.
// Reading takes no stack for nesting and time in proportion to size. Document types,
// and so entities of one's own, are skipped; nothing that a document names is
// fetched. Stray bytes, ampersands and end tags are forgiven; a document that ends
// early is refused, as it would look like one from which items were removed.
//
// An item is called, in this order,
//
//	its guid, id or atom:id     of up to 512 bytes without control characters
//	urn:sha256:HASH             of a longer one; else of link and date of publication;
//	                            of link and title; of date and title; of title and text
//
// each that is not there giving way to the next. It depends on nothing else in the
// document, so that neighbours and order do not matter; an item without an id whose
// date or, lacking that, title changes is a new one. Of two items of one id in one
// document the one that changed last counts, else the first.
//
// [Plan] compares the items with a [State] and says what to append: a post for each
// item that is new, and one for each of which title, text, link, author, tags or
// attachments changed. A newer version is a post with the same id; an id that is no URI
// is made one for that, out of it and the name of the source. The state is a value. After a crash between log and state, [State.Remember] brings back from the
// log what must not be said twice.
//
//	imported before     document       appended, oldest first
//	                    b, a           a, b
//	a, b                c, b2, a       b2 (changed), c
//	a, b2, c            c, a           nothing: b is gone there and stays here
//
// [Post] makes a post of an item: its text is the content, else the summary; HTML
// becomes text. What does not fit an entry is cut and marked, as it says there; the
// link leads to the rest.
//
// [Fetcher] gets a document over HTTP, only if it is new (ETag, Last-Modified), within
// a time, within a size, unpacked; it heeds Retry-After and redirects, of which those
// to the own machine or network are refused unless that is where it began. Names are
// not looked up for that: a name of a stranger that leads to an address of the own
// network is followed. What is there and is no feed is not shown.
//
// # Out
//
// A post is called handful:CHANNEL/WRITER/INDEX in documents. One that has an id of
// its own, as imported ones do, is called by that if it is a URI, else
// handful:CHANNEL/WRITER?id=ID, so that its versions are one item, of which the newest
// is shown; another writer's post under the same id is called as if it had none.
// Its author is whom it names, and of a granted writer also the name under which it signs.
// Texts are of type text in Atom and JSON Feed, and HTML that shows the text in RSS,
// where titles are text. Published is what the source says, else when the entry was
// written; updated likewise. Attachments are enclosures: in Atom and JSON Feed all of them,
// in RSS the first, and where there are more a list of them below the text. Files that an
// entry brings along are called by its own link, handful:CHANNEL/WRITER/INDEX, with which
// fetch gets them: nothing serves them over HTTP.
//
// A channel with one post, as Atom:
//
//	<?xml version="1.0" encoding="UTF-8"?>
//	<feed xmlns="http://www.w3.org/2005/Atom" xmlns:thr="http://purl.org/syndication/thread/1.0">
//	 <title type="text">News &amp; &lt;more&gt;</title>
//	 <id>handful:aguxy4dwaytkkn4dlhx5275g2opvumw6a27faj6e</id>
//	 <updated>2025-12-22T10:42:01Z</updated>
//	 <author>
//	  <name>News &amp; &lt;more&gt;</name>
//	 </author>
//	 <link rel="self" href="http://127.0.0.1:6881/feed/news.atom" type="application/atom+xml"></link>
//	 <generator>Handful</generator>
//	 <entry>
//	  <title type="text">Tea at four</title>
//	  <id>handful:aguxy4dwaytkkn4dlhx5275g2opvumw6a27faj6e/m/0</id>
//	  <published>2025-12-22T10:42:01Z</published>
//	  <updated>2025-12-22T10:42:01Z</updated>
//	  <content type="text"></content>
//	 </entry>
//	</feed>
//
// [Handler] serves documents with strong ETags, and new posts as server-sent events
// whose ids are cursors. It answers whoever asks: that only this machine asks, and by a
// loopback address (DNS rebinding), is its caller's part.
//
// # Kept
//
// [Archive] keeps posts as JSON Lines that people and programs read. [Drop] says what
// of a channel is to be dropped under bounds of count, age and bytes. [Hook] runs a
// program for each entry, at least once.
package feed
