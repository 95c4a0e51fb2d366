// Package feed takes text in and gives it out: RSS, Atom and JSON Feed documents of
// others become posts of a channel, and a channel's posts become documents that any
// feed reader reads. It knows no node; time and HTTP clients are passed in.
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
package feed
