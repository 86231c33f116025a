package segment_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gantry/store/segment"
)

var update = flag.Bool("update", false, "rewrite golden files and the example in the format's documentation")

// describe is the whole file for people.
func describe(t *testing.T, f *file) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, e := range f.entries {
		if err := segment.Describe(&b, e.Offset, f.bytes[e.Offset:]); err != nil {
			t.Fatal(err)
		}
	}
	if f.end() < int64(len(f.bytes)) {
		if err := segment.Describe(&b, f.end(), f.bytes[f.end():]); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// A change of these files is a change of the format.
func TestGolden(t *testing.T) {
	files := map[string]*file{"awkward": awkwardFile(t), "example": exampleFile(t)}
	for name, f := range files {
		golden := filepath.Join("testdata", name+".golden")
		got := describe(t, f)
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the description differs from the golden one; got\n%s", name, got)
		}
	}
}

func TestDescribeDamaged(t *testing.T) {
	f := exampleFile(t)
	f.bytes[700] ^= 1
	var b bytes.Buffer
	if err := segment.Describe(&b, 0, f.bytes); !errors.Is(err, segment.ErrChecksum) || !strings.Contains(b.String(), "(damaged)") {
		t.Errorf("%v, %q", err, b.String())
	}
	if err := segment.Describe(&b, 0, f.bytes[:10]); err == nil {
		t.Error("described ten bytes")
	}
}

// exampleFile is the one that the format's documentation explains.
func exampleFile(t testing.TB) *file {
	f := newFile(t, 0x10000, record{
		header: segment.Header{
			Type: segment.TypeObject, Epoch: 3, CommitPoint: 0x10000, First: true, Last: true, Time: 1_767_225_600_000_000_001,
			Name: segment.MemberName("notes", "hello.txt"),
			Fields: segment.Fields{
				BucketID: 7, Bucket: "notes", Key: "hello.txt", NullVersion: true, Door: "s3",
				ETag: "b1946ac92492d2347c6235b4d2611184", System: map[string]string{"content-type": "text/plain"},
			},
		},
		payload: []byte("hello\n"),
	})
	f.seal(t)
	return f
}

// hexdump writes like `hexdump -C`: runs of equal lines are one asterisk.
func hexdump(b []byte) string {
	lines := strings.Split(strings.TrimSpace(hex.Dump(b)), "\n")
	var out []string
	for i, line := range lines {
		same := i > 0 && line[8:] == lines[i-1][8:]
		switch {
		case !same:
			out = append(out, line)
		case out[len(out)-1] != "*":
			out = append(out, "*")
		}
	}
	return fmt.Sprintf("%s\n%08x\n", strings.Join(out, "\n"), len(b))
}

// The worked example in the documentation is what the code writes.
func TestDocumentedExample(t *testing.T) {
	const begin, end = "```hexdump\n", "```"
	name := filepath.Join("..", "..", "docs", "format", "segment.md")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("no example in the documentation")
	}
	want := hexdump(exampleFile(t).bytes)
	if *update {
		if err := os.WriteFile(name, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("the example in the documentation is not what the code writes; got\n%s", want)
	}
}

// plainCRC32C is the checksum as the documentation defines it, bit by bit.
func plainCRC32C(b []byte) uint32 {
	sum := ^uint32(0)
	for _, c := range b {
		sum ^= uint32(c)
		for range 8 {
			sum = sum>>1 ^ 0x82F63B78&-(sum&1)
		}
	}
	return ^sum
}

// A reader written from the documentation alone, with nothing of this package, reads the file.
func TestDocumentedReader(t *testing.T) {
	b := awkwardFile(t).bytes
	if plainCRC32C([]byte("123456789")) != 0xE3069283 {
		t.Fatal("check value")
	}
	for off := 0; ; {
		bodyLen, err := strconv.ParseInt(string(b[off+124:off+135]), 8, 64)
		if err != nil {
			t.Fatal(err)
		}
		headerLen := 512 + (int(bodyLen)+511)/512*512 + 512
		header := bytes.Clone(b[off : off+headerLen])
		digits, rest, _ := strings.Cut(string(header[512:512+bodyLen]), " ")
		commentLen, err := strconv.Atoi(digits)
		if err != nil || !strings.HasPrefix(rest, "comment=gantry 01 ") {
			t.Fatalf("comment: %v", err)
		}
		prefix := 512 + len(digits) + len(" comment=")
		payloadLen, err := strconv.ParseInt(string(header[prefix+84:prefix+100]), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum := string(header[prefix+101 : prefix+109])
		copy(header[prefix+101:], "00000000")
		if want := fmt.Sprintf("%08x", plainCRC32C(header)); sum != want {
			t.Fatalf("header checksum %s, want %s", sum, want)
		}
		var fields struct {
			CRC string `json:"crc"`
		}
		if err := json.Unmarshal(header[prefix+110:512+commentLen], &fields); err != nil {
			t.Fatal(err)
		}
		payload := b[off+headerLen : off+headerLen+int(payloadLen)]
		want := ""
		for block := range slices.Chunk(payload, 1<<20) {
			want += fmt.Sprintf("%08x", plainCRC32C(block))
		}
		if fields.CRC != want {
			t.Fatalf("payload checksums %s, want %s", fields.CRC, want)
		}
		off += headerLen + (int(payloadLen)+511)/512*512
		if string(header[prefix+10:prefix+12]) == "99" {
			if len(b)-off != 1024 {
				t.Errorf("%d bytes after the footer", len(b)-off)
			}
			return
		}
	}
}
