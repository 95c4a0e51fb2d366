// Package follow is the follower's side: news from any source goes through [Trust],
// which keeps on disk what was believed, before anything is done about it.
package follow
