// Package signing says who may publish in a channel, and what is newest. It decides
// and does no IO: documents, updates and the time come in, verdicts go out.
package signing
