package s3_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// keys and prefixes of a page, in the order listed.
func (a *answer) listed() (keys, prefixes []string) {
	keys = a.elements("Key")
	for _, p := range a.elements("CommonPrefixes") {
		prefixes = append(prefixes, strings.TrimSuffix(strings.TrimPrefix(p, "<Prefix>"), "</Prefix>"))
	}
	return keys, prefixes
}

func (a *answer) wantListed(keys, prefixes string) *answer {
	a.t.Helper()
	k, p := a.listed()
	if strings.Join(k, ",") != keys || strings.Join(p, ",") != prefixes {
		a.t.Errorf("%s: got %q and %q, want %q and %q", a.what, k, p, keys, prefixes)
	}
	return a
}

func TestList(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	for _, k := range []string{"a", "b/", "b/1", "b/2", "c/1", "c/d/1", "e"} {
		s.put("data", k, "xyz")
	}
	for _, v := range []string{"", "list-type=2&"} {
		list := func(query string) *answer { return s.do("GET", "/data?"+v+query, "").want(200, "") }
		list("").wantListed("a,b/,b/1,b/2,c/1,c/d/1,e", "").wantBody("<IsTruncated>false</IsTruncated>").wantBody("<MaxKeys>1000</MaxKeys>").
			wantBody("<ETag>&quot;" + md5hex("xyz") + "&quot;</ETag>").wantBody("<Size>3</Size><StorageClass>STANDARD</StorageClass>")
		list("delimiter=/").wantListed("a,e", "b/,c/")
		list("prefix=b/").wantListed("b/,b/1,b/2", "")
		list("prefix=b/&delimiter=/").wantListed("b/,b/1,b/2", "")
		list("prefix=c/&delimiter=/").wantListed("c/1", "c/d/")
		list("prefix=c&delimiter=/").wantListed("", "c/")
		list("delimiter=1").wantListed("a,b/,b/2,e", "b/1,c/1,c/d/1")
		list("prefix=none").wantListed("", "")
		list("max-keys=0").wantListed("", "").wantBody("<IsTruncated>false</IsTruncated>").wantBody("<MaxKeys>0</MaxKeys>")
		list("max-keys=5000").wantBody("<MaxKeys>1000</MaxKeys>")
		list("max-keys=2").wantListed("a,b/", "").wantBody("<IsTruncated>true</IsTruncated>")
		list("max-keys=7").wantBody("<IsTruncated>false</IsTruncated>")
		s.do("GET", "/data?"+v+"max-keys=-1", "").want(400, "InvalidArgument")
		s.do("GET", "/data?"+v+"max-keys=blah", "").want(400, "InvalidArgument")
		s.do("GET", "/data?"+v+"encoding-type=base64", "").want(400, "InvalidArgument")
		s.do("GET", "/none?"+v+"max-keys=0", "").want(404, "NoSuchBucket")
	}
	s.do("GET", "/data?marker=b/1", "").wantListed("b/2,c/1,c/d/1,e", "").wantBody("<Marker>b/1</Marker>")
	s.do("GET", "/data?delimiter=/&marker=b/", "").wantListed("e", "c/")
	s.do("GET", "/data?delimiter=/&marker=b/1", "").wantListed("e", "c/")
	s.do("GET", "/data?delimiter=/&max-keys=2", "").wantListed("a", "b/").wantBody("<NextMarker>b/</NextMarker>")
	if a := s.do("GET", "/data?max-keys=2", ""); strings.Contains(a.body, "NextMarker") {
		t.Errorf("NextMarker without a delimiter: %s", a.body)
	}
	s.do("GET", "/data", "").wantBody("<Owner><ID>" + rootID + "</ID>")
	if a := s.do("GET", "/data?list-type=2", ""); strings.Contains(a.body, "<Owner>") {
		t.Errorf("owner not asked for: %s", a.body)
	}
	s.do("GET", "/data?list-type=2&fetch-owner=true", "").wantBody("<Owner><ID>" + rootID + "</ID>")
	s.do("GET", "/data?list-type=2&start-after=c/1", "").wantListed("c/d/1,e", "").wantBody("<StartAfter>c/1</StartAfter><KeyCount>2</KeyCount>")
	s.do("GET", "/data?list-type=2&delimiter=/", "").wantBody("<KeyCount>4</KeyCount>")
	s.do("GET", "/data?list-type=2&continuation-token=b/1", "").want(400, "InvalidArgument")
	s.do("GET", "/data?list-type=2&continuation-token=", "").wantListed("a,b/,b/1,b/2,c/1,c/d/1,e", "").wantBody("<ContinuationToken></ContinuationToken>")
}

func TestListPages(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	for i := range 12 {
		s.put("data", fmt.Sprintf("%c/%02d", 'a'+i%3, i), "x")
		s.put("data", fmt.Sprintf("z%02d", i), "x")
	}
	c := s.root()
	for _, delimiter := range []string{"", "/", "0"} {
		all, err := c.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String("data"), Delimiter: &delimiter})
		if err != nil {
			t.Fatal(err)
		}
		var want, got, versions []string
		for _, o := range all.Contents {
			want = append(want, *o.Key)
		}
		for _, p := range all.CommonPrefixes {
			want = append(want, *p.Prefix)
		}
		for max := int32(1); max < 6; max += 2 {
			got = nil
			pages := awss3.NewListObjectsV2Paginator(c, &awss3.ListObjectsV2Input{Bucket: aws.String("data"), Delimiter: &delimiter, MaxKeys: aws.Int32(max)})
			for pages.HasMorePages() {
				p, err := pages.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if n := len(p.Contents) + len(p.CommonPrefixes); n > int(max) || n != int(*p.KeyCount) {
					t.Errorf("page of %d, KeyCount %d, max %d", n, *p.KeyCount, max)
				}
				for _, o := range p.Contents {
					got = append(got, *o.Key)
				}
				for _, x := range p.CommonPrefixes {
					got = append(got, *x.Prefix)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("delimiter %q, pages of %d: got %v, want %v", delimiter, max, got, want)
			}
		}
		old := awss3.NewListObjectVersionsPaginator(c, &awss3.ListObjectVersionsInput{Bucket: aws.String("data"), Delimiter: &delimiter, MaxKeys: aws.Int32(4)})
		for old.HasMorePages() {
			p, err := old.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range p.Versions {
				if *v.VersionId != "null" || !*v.IsLatest {
					t.Errorf("version %+v", v)
				}
				versions = append(versions, *v.Key)
			}
			for _, x := range p.CommonPrefixes {
				versions = append(versions, *x.Prefix)
			}
		}
		slices.Sort(versions)
		if !slices.Equal(versions, want) {
			t.Errorf("delimiter %q: versions %v, want %v", delimiter, versions, want)
		}
	}
	s.do("GET", "/data?versions&version-id-marker=null", "").want(400, "InvalidArgument")
}

func TestListEncoding(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	keys := []string{"foo+1/bar", "foo/bar/xyzzy", "quux ab/thud", "asdf+b", "<&>\"'", "\u20ac", "new\nline\x01"}
	for _, k := range keys {
		s.put("data", strings.ReplaceAll(url.QueryEscape(k), "+", "%20"), "x")
	}
	s.do("GET", "/data?encoding-type=url&delimiter=/", "").want(200, "").
		wantListed("%3C%26%3E%22%27,asdf%2Bb,new%0Aline%01,%E2%82%AC", "foo%2B1/,foo/,quux%20ab/").wantBody("<EncodingType>url</EncodingType>")
	s.do("GET", "/data?prefix=%3C", "").wantListed("&lt;&amp;&gt;&quot;&apos;", "")
	s.do("GET", "/data?prefix=n", "").wantListed("new\nline&#x1;", "")
	out, err := s.root().ListObjects(t.Context(), &awss3.ListObjectsInput{Bucket: aws.String("data"), EncodingType: "url"})
	if err != nil || len(out.Contents) != len(keys) {
		t.Errorf("%v, %v", out, err)
	}
	s.do("GET", "/data?encoding-type=url&prefix=quux+ab&start-after=%2B&list-type=2", "").wantListed("quux%20ab/thud", "").wantBody("<StartAfter>%2B</StartAfter>")
}
