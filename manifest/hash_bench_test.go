package manifest

import (
	"crypto/sha1"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/minio/sha256-simd"
)

// BenchmarkBuild hashes one large file and many small ones, from the page cache.
// BenchmarkMemory is what it is held against: both hashes over bytes in memory,
// on all cores.
func BenchmarkBuild(b *testing.B) {
	for _, c := range []struct {
		name        string
		files, size int
	}{{"1x256MiB", 1, 256 << 20}, {"8192x10KiB", 8192, 10 << 10}} {
		root := filepath.Join(b.TempDir(), "tree")
		data := noise(1, c.size)
		for i := range c.files {
			write(b, root, fmt.Sprintf("%02d/%d", i%64, i), data, 0o644)
		}
		for _, format := range []Format{FormatHybrid, FormatV1} {
			b.Run(c.name+"/"+format.String(), func(b *testing.B) {
				b.SetBytes(int64(c.files) * int64(c.size))
				b.ReportAllocs()
				for b.Loop() {
					build(b, BuildOptions{Format: format}, root)
				}
			})
		}
	}
}

func BenchmarkMemory(b *testing.B) {
	const size = 256 << 20
	data := make([]byte, size)
	copy(data, noise(1, 1<<20))
	for n := 1 << 20; n < size; n *= 2 {
		copy(data[n:], data[:n])
	}
	b.SetBytes(size)
	b.ResetTimer()
	for b.Loop() {
		var wg sync.WaitGroup
		cores := runtime.GOMAXPROCS(0)
		for k := range cores {
			part := data[k*size/cores : (k+1)*size/cores]
			wg.Go(func() {
				h := sha1.New()
				for len(part) > 0 {
					block := part[:min(len(part), BlockSize)]
					part = part[len(block):]
					h.Write(block)
					sha256.Sum256(block)
				}
				h.Sum(nil)
			})
		}
		wg.Wait()
	}
}
