package s3

import (
	"encoding/xml"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"gantry/store"
)

func FuzzXML(f *testing.F) {
	f.Add([]byte(`<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet><Object><Key>a&amp;b</Key><VersionId>null</VersionId></Object></Delete>`))
	f.Add([]byte(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"abc"</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part></CompleteMultipartUpload>`))
	f.Add([]byte(`<CreateBucketConfiguration><LocationConstraint>x</LocationConstraint></CreateBucketConfiguration>`))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><Delete>&b;</Delete>`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, _, err := parseDelete(raw)
		if err == nil && (len(list) == 0 || len(list) > maxDeletedKeys) {
			t.Errorf("%d deletions accepted", len(list))
		}
		for i := range list {
			if err == nil && list[i].key == "" {
				t.Error("a deletion without a key")
			}
		}
		parts, err := parseComplete(raw)
		if err == nil && (len(parts) == 0 || len(parts) > store.MaxParts) {
			t.Errorf("%d parts accepted", len(parts))
		}
		for i := range parts {
			if p := &parts[i]; err == nil && (p.Number < 1 || p.Number > store.MaxParts || p.ETag == "") {
				t.Errorf("part %+v accepted", p)
			}
		}
		_ = parseCreateBucket(raw)
	})
}

// What we write, a strict reader reads back, as far as XML has the characters.
func FuzzXMLText(f *testing.F) {
	f.Add("a<b>&\"'\r\n\t\u20ac")
	f.Add("\x01\x7f\xff\ufffe")
	f.Fuzz(func(t *testing.T, s string) {
		x := newXML()
		x.text("Key", s)
		inXML := func(r rune) bool {
			return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r != utf8.RuneError && r != 0xFFFE && r != 0xFFFF
		}
		if strings.IndexFunc(s, func(r rune) bool { return !inXML(r) }) >= 0 {
			return
		}
		var back string
		if err := xml.Unmarshal(x.b, &back); err != nil || back != s {
			t.Errorf("%q came back as %q, %v", s, back, err)
		}
	})
}

func FuzzCopySource(f *testing.F) {
	for _, s := range []string{"bucket/key", "/b/k%20?versionId=null", "b//k", "%2Fb%2Fk", "b", "arn:aws:s3:::x/y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, h string) {
		k, _, err := parseCopySource(h)
		if err == nil && (k.Bucket == "" || strings.Contains(k.Bucket, "/") || k.Name == "" || len(k.Name) > store.MaxKeyBytes || !utf8.ValidString(k.Name)) {
			t.Errorf("%q gave %+v", h, k)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=-5", "bytes=5-", "bytes=9-1", "bytes=0-99999999999999999999"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, h string, size int64) {
		size = max(size, 0)
		if s, ok, err := parseRange(h, size); err == nil && ok && (s.off < 0 || s.n < 1 || s.off > size-s.n) {
			t.Errorf("%q of %d gave %+v", h, size, s)
		}
		if s, err := parseCopyRange(h, size); err == nil && (s.off < 0 || s.n < 1 || s.off > size-s.n) {
			t.Errorf("copy %q of %d gave %+v", h, size, s)
		}
	})
}

func FuzzTokenAndQuery(f *testing.F) {
	f.Add("a/b\u20ac", true)
	f.Add("", false)
	f.Fuzz(func(t *testing.T, name string, skip bool) {
		if !utf8.ValidString(name) || len(name) > store.MaxKeyBytes {
			return
		}
		if got, gotSkip, err := parseToken(makeToken(name, skip)); err != nil || got != name || gotSkip != skip {
			t.Errorf("token of %q came back as %q, %v", name, got, err)
		}
		_, _, _ = parseToken(name)
		if tags, err := parseTags(name); err == nil && len(tags) > maxTags {
			t.Errorf("%d tags", len(tags))
		}
		if kept := withoutChunked(name); slices.ContainsFunc(strings.Split(kept, ","), func(s string) bool {
			return strings.EqualFold(strings.TrimSpace(s), "aws-chunked")
		}) {
			t.Errorf("%q keeps aws-chunked: %q", name, kept)
		}
	})
}
