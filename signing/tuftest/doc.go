// Package tuftest holds package signing against go-tuf, an implementation of The Update
// Framework by its own community. It is a module of its own, so that nobody who builds
// Handful needs go-tuf:
//
//	cd signing/tuftest && go test ./...
//
// Chains of root documents, and targets documents under them, are made at random, most
// of them with a defect. Both implementations judge each; where they differ, the document
// must be of a class that is named and checked in classes_test.go. So every way in
// which Handful is stricter than TUF, or more tolerant, is written down there.
package tuftest
