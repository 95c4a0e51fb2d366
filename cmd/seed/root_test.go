package main

import (
	"crypto/ed25519"
	"testing"
)

// TestSignatureIsNoDocument: a raw signature is 64 bytes of any value, and may begin like JSON.
func TestSignatureIsNoDocument(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1 << 16 {
		sig := ed25519.Sign(key, []byte{byte(i), byte(i >> 8)})
		if isDocument(sig) {
			t.Fatalf("%x is taken for a document", sig)
		}
		if sig[0] == '{' {
			break
		}
	}
	if !isDocument([]byte(`{"signatures":[],"signed":{"_type":"root"}}`)) || isDocument(nil) {
		t.Error("wrong about what is a document")
	}
}
