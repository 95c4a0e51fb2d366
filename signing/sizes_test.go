package signing

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSizes holds what travels to its promises: a post with a title of 40 characters and
// the hash of a torrent, to somebody who has everything before it, in 450 bytes.
func TestSizes(t *testing.T) {
	root := testRoot(t)
	l := testLog(t, root, testTime, numbered(9999)...)
	title, hash := strings.Repeat("t", 40), strings.Repeat("h", 32)
	entry := fmt.Sprintf("d1:^d1:gi9000e1:pi12ee1:i32:%s1:n40:%s1:si123456789e1:ti1766400120000e1:y5:mediae", hash, title)
	if _, err := l.Append([]byte(entry)); err != nil {
		t.Fatal(err)
	}
	signLog(t, l, testTime.Add(time.Minute))
	news := updateFor(t, l, 9999)
	signLog(t, l, testTime.Add(2*time.Minute))
	beat := updateFor(t, l, 10_000)
	for name, tt := range map[string]struct {
		u    Update
		most int
	}{"a new post": {news, 450}, "a heartbeat": {beat, 300}} {
		n := len(tt.u.Bytes())
		t.Logf("%s: %d bytes", name, n)
		if n > tt.most {
			t.Errorf("%s takes %d bytes, at most %d are allowed", name, n, tt.most)
		}
	}
	two := organisation(t)
	t.Logf("root documents: %d bytes with one key a role, %d with three root keys", len(root.Bytes()), len(two.Bytes()))
}
