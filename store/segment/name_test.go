package segment_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"gantry/store/segment"
)

func TestMemberName(t *testing.T) {
	long := strings.Repeat("x", 256)
	tests := []struct{ bucket, key, want string }{
		{"b", "k", "b/k"},
		{"images", "1.2.3/4.5.6/7.8.9.dcm", "images/1.2.3/4.5.6/7.8.9.dcm"},
		{"b", "日本/é", "b/日本/é"},
		{"b", "100%", "b/100%25"},
		{"b", "%", "b/%25"},
		{"b", "", "b/%"},
		{"", "k", "%/k"},
		{"b", "a//c", "b/a/%/c"},
		{"b", "/", "b/%/%"},
		{"b", "/a", "b/%/a"},
		{"b", "a/", "b/a/%"},
		{"b", "..", "b/%2E%2E"},
		{"b", "../.", "b/%2E%2E/%2E"},
		{"b", ".../.x", "b/.../.x"},
		{"b", "a\nb\x00\x7f", "b/a%0Ab%00%7F"},
		{"b", `a\b`, "b/a%5Cb"},
		{"b", "\xff\xc3", "b/%FF%C3"},
		{"b", "\u0085", "b/%C2%85"},
		{"b", "\ufffd", "b/\ufffd"},
		{".gantry", "footer", "%2Egantry/footer"},
		{".", "k", "%2E/k"},
		{"..", "k", "%2E%2E/k"},
		{"a/b", "c", "a%2Fb/c"},
		{"b", long[:255], "b/" + long[:255]},
		{"b", long, "b/" + long[:189] + "%~85e62acd750c4eb56b7b6a1d66dca5bfaac5f062608a1a893410d0288936c09a"},
	}
	for _, test := range tests {
		if got := segment.MemberName(test.bucket, test.key); got != test.want {
			t.Errorf("MemberName(%q, %q) = %q, want %q", test.bucket, test.key, got, test.want)
		}
	}
}

func TestOtherNames(t *testing.T) {
	for got, want := range map[string]string{
		segment.ExtentName(0x1234, 42):                             ".gantry/extent/0000000000001234/00000042",
		segment.ControlName(segment.TypeDelete, "bucket/a/b"):      ".gantry/delete/bucket%2Fa%2Fb",
		segment.ControlName(segment.TypeUpload, ".."):              ".gantry/upload/%2E%2E",
		segment.ControlName(segment.TypeBucket, ""):                ".gantry/bucket/%",
		segment.ControlName(segment.TypeAbort, "0123456789abcdef"): ".gantry/abort/0123456789abcdef",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// original undoes MemberName, for names without a shortened part. That it can be written proves that no two keys share a name.
func original(t *testing.T, part string) string {
	if part == "%" {
		return ""
	}
	var b []byte
	for i := 0; i < len(part); i++ {
		if part[i] != '%' {
			b = append(b, part[i])
			continue
		}
		if i+2 >= len(part) {
			t.Fatalf("bad escape in %q", part)
		}
		digit := func(c byte) byte { return byte(strings.IndexByte("0123456789ABCDEF", c)) }
		b = append(b, digit(part[i+1])<<4|digit(part[i+2]))
		i += 2
	}
	return string(b)
}

func FuzzMemberName(f *testing.F) {
	for _, key := range awkwardKeys {
		f.Add("bucket", key, "x")
	}
	f.Add(".gantry", "footer", "footer")
	f.Add("a/b", "c", "b/c")
	f.Add("b", strings.Repeat("x", 255)+"é", strings.Repeat("x", 254)+"%é")
	f.Fuzz(func(t *testing.T, bucket, key, other string) {
		name := segment.MemberName(bucket, key)
		if !utf8.ValidString(name) || strings.HasPrefix(name, segment.ControlPrefix) {
			t.Fatalf("bad name %q", name)
		}
		if key != other && name == segment.MemberName(bucket, other) {
			t.Fatalf("%q and %q share the name %q", key, other, name)
		}
		if bucket != other && name == segment.MemberName(other, key) {
			t.Fatalf("buckets %q and %q share the name %q", bucket, other, name)
		}
		parts := strings.Split(name, "/")
		for _, part := range parts {
			if len(part) > 255 || part == "" || part == "." || part == ".." {
				t.Fatalf("bad part %q", part)
			}
		}
		if !strings.Contains(name, "%~") {
			var back []string
			for _, part := range parts[1:] {
				back = append(back, original(t, part))
			}
			if original(t, parts[0]) != bucket || strings.Join(back, "/") != key {
				t.Fatalf("%q of %q, %q cannot be undone", name, bucket, key)
			}
		}
		if len(name) <= segment.MaxName {
			mustHeader(t, &segment.Header{Type: segment.TypeObject, Name: name})
		}
	})
}
