package manifest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"handful/manifest"
)

// The worked example of the package doc.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "hello.txt")
	if err := os.WriteFile(path, []byte("hello\n"), 0o644); err != nil {
		panic(err)
	}
	for _, format := range []manifest.Format{manifest.FormatAuto, manifest.FormatV1} {
		t, _, err := manifest.Build(context.Background(), []string{path}, manifest.BuildOptions{Format: format})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: %q\n", format, t.InfoBytes)
		fmt.Println(t.Check(0, []byte("hello\n")), t.Check(0, []byte("hullo\n")))
	}
	post := manifest.Post{Head: manifest.Header{Time: 1766400121000}, Title: "Tea at four"}
	fmt.Printf("%s\n", post.Bytes())
	// Output:
	// auto: "d9:file treed9:hello.txtd0:d6:lengthi6e11:pieces root32:X\x91\xb5\xb5\"\xd5\xdf\bm\x0f\xf0\xb1\x10\xfb\xd9\xd2\x1b\xb4\xfcqc\xaf4Ђ\x86\xa2\xe8F\xf6\xbe\x03eee6:lengthi6e12:meta versioni2e4:name9:hello.txt12:piece lengthi32768e6:pieces20:\xf5rӖ\xfa\xe9 f(qO\xb2\xce\x00\xf7.\x94\xf2%\x8fe"
	// good bad
	// v1: "d6:lengthi6e4:name9:hello.txt12:piece lengthi32768e6:pieces20:\xf5rӖ\xfa\xe9 f(qO\xb2\xce\x00\xf7.\x94\xf2%\x8f13:sha256 pieces32:X\x91\xb5\xb5\"\xd5\xdf\bm\x0f\xf0\xb1\x10\xfb\xd9\xd2\x1b\xb4\xfcqc\xaf4Ђ\x86\xa2\xe8F\xf6\xbe\x03e"
	// good bad
	// d1:ti1766400121000e1:x11:Tea at four1:y4:poste
}
