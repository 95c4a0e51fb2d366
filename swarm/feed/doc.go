// Package feed takes text in and gives it out: RSS, Atom and JSON Feed documents of
// others become posts of a channel, and a channel's posts become documents that any
// feed reader reads. It knows no node; time and HTTP clients are passed in.
package feed
