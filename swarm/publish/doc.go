// Package publish is the publisher's side: entries go into the writer's log, heads over
// it are signed, and only what is safely on disk leaves the house. [Log] keeps the log.
package publish
