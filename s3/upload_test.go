package s3_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

const mib = 1 << 20

// begin starts an upload and gives its id.
func (s *site) begin(target string, edits ...edit) string {
	s.t.Helper()
	return s.do("POST", target+"?uploads", "", edits...).want(200, "").element("UploadId")
}

func (s *site) part(target, id string, n int, body string, edits ...edit) string {
	s.t.Helper()
	return s.do("PUT", fmt.Sprintf("%s?partNumber=%d&uploadId=%s", target, n, id), body, edits...).want(200, "").header.Get("ETag")
}

// completion writes the body of a Complete out of numbers and ETags in turn.
func completion(pairs ...any) string {
	var b strings.Builder
	b.WriteString("<CompleteMultipartUpload>")
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "<Part><ETag>%s</ETag><PartNumber>%d</PartNumber></Part>", pairs[i+1], pairs[i])
	}
	return b.String() + "</CompleteMultipartUpload>"
}

func TestMultipart(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	const target = "/data/dir/big"
	id := s.begin(target, with("Content-Type", "a/b", "X-Amz-Meta-k", "v", "X-Amz-Storage-Class", "STANDARD_IA"))
	bodies := []string{strings.Repeat("a", 5*mib), strings.Repeat("b", 6*mib), "tail"}
	numbers := []int{2, 3, 7}
	var etags []string
	for i, b := range bodies {
		etags = append(etags, s.part(target, id, numbers[i], b))
	}
	s.do("GET", target, "").want(404, "NoSuchKey")
	s.do("GET", target+"?uploadId="+id+"&max-parts=2", "").want(200, "").wantBody("<IsTruncated>true</IsTruncated>").
		wantBody("<NextPartNumberMarker>3</NextPartNumberMarker>").wantBody("<StorageClass>STANDARD_IA</StorageClass>")
	if a := s.do("GET", target+"?uploadId="+id+"&part-number-marker=3", ""); strings.Join(a.elements("PartNumber"), ",") != "7" {
		t.Errorf("parts after 3: %s", a.body)
	}
	if a := s.do("GET", "/data?uploads", ""); a.element("UploadId") != id || a.element("Key") != "dir/big" {
		t.Errorf("uploads: %s", a.body)
	}
	s.do("GET", "/data?uploads&delimiter=/", "").wantBody("<CommonPrefixes><Prefix>dir/</Prefix></CommonPrefixes>")

	empty := s.begin("/data/empty")
	tag := s.part("/data/empty", empty, 1, "")
	s.do("POST", "/data/empty?uploadId="+empty, completion(1, tag)).want(200, "")
	if a := s.do("GET", "/data/empty?partNumber=1", "").want(200, ""); a.header.Get("Content-Range") != "" || a.header.Get("x-amz-mp-parts-count") != "1" {
		t.Errorf("empty part: %v", a.header)
	}

	finish := func(body string, edits ...edit) *answer { return s.do("POST", target+"?uploadId="+id, body, edits...) }
	finish(completion(3, etags[1], 2, etags[0])).want(400, "InvalidPartOrder")
	finish(completion(2, etags[0], 2, etags[0])).want(400, "InvalidPartOrder")
	finish(completion(2, etags[0], 4, etags[1])).want(400, "InvalidPart")
	finish(completion(2, etags[0], 3, etags[0])).want(400, "InvalidPart")
	finish(completion(2, etags[0], 7, etags[2])+"x").want(400, "MalformedXML")
	finish(completion()).want(400, "MalformedXML")
	finish("").want(400, "MalformedXML")
	finish("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></CompleteMultipartUpload></Part>").want(400, "MalformedXML")
	finish(completion(2, etags[0]), with("x-amz-mp-object-size", "1")).want(400, "InvalidRequest")
	whole := strings.Join(bodies, "")
	done := finish(completion(2, etags[0], 3, etags[1], 7, etags[2]), with("x-amz-mp-object-size", itoa(len(whole)), "If-None-Match", "*")).want(200, "")
	sum := md5.New()
	for _, b := range bodies {
		part := md5.Sum([]byte(b))
		sum.Write(part[:])
	}
	etag := hex.EncodeToString(sum.Sum(nil)) + "-3"
	if got := done.element("ETag"); got != "&quot;"+etag+"&quot;" {
		t.Errorf("ETag %s, want %s", got, etag)
	}
	// Repeated, as clients do when the answer was lost; and another list of parts.
	finish(completion(2, etags[0], 3, etags[1], 7, etags[2])).want(200, "").wantBody(etag)
	finish(completion(2, etags[0], 3, etags[1])).want(404, "NoSuchUpload")
	// Another upload of the same parts, aborted or never made, did not become this object.
	other := s.begin(target)
	s.do("DELETE", target+"?uploadId="+other, "").want(204, "")
	for _, id := range []string{other, "nonsense"} {
		s.do("POST", target+"?uploadId="+id, completion(2, etags[0], 3, etags[1], 7, etags[2])).want(404, "NoSuchUpload")
	}
	got := s.do("GET", target, "").want(200, "").wantHeader("ETag", `"`+etag+`"`).wantHeader("Content-Type", "a/b").
		wantHeader("X-Amz-Meta-K", "v").wantHeader("X-Amz-Storage-Class", "STANDARD_IA")
	if got.body != whole {
		t.Errorf("got %d bytes, want %d", len(got.body), len(whole))
	}
	for i, n := range []int{2, 3, 7} {
		a := s.do("GET", fmt.Sprintf("%s?partNumber=%d", target, n), "").want(206, "").wantHeader("X-Amz-Mp-Parts-Count", "3")
		if a.body != bodies[i] {
			t.Errorf("part %d: %d bytes, want %d", n, len(a.body), len(bodies[i]))
		}
		s.do("HEAD", fmt.Sprintf("%s?partNumber=%d", target, n), "").want(206, "").wantHeader("Content-Length", itoa(len(bodies[i])))
	}
	s.do("GET", target+"?partNumber=4", "").want(416, "InvalidPartNumber")
	s.do("GET", target+"?partNumber=0", "").want(400, "InvalidArgument")
	s.do("GET", target+"?partNumber=2", "", with("Range", "bytes=0-1")).want(400, "InvalidRequest")
	if a := s.do("GET", target, "", with("Range", fmt.Sprintf("bytes=%d-%d", 5*mib-2, 5*mib+1))).want(206, ""); a.body != "aabb" {
		t.Errorf("across parts: %q", a.body)
	}
	s.do("GET", target+"?attributes", "", with("X-Amz-Object-Attributes", "ETag,Checksum,ObjectParts,StorageClass,ObjectSize", "X-Amz-Max-Parts", "2")).want(200, "").
		wantBody("<ETag>" + etag + "</ETag>").wantBody("<PartsCount>3</PartsCount>").wantBody("<IsTruncated>true</IsTruncated>").
		wantBody("<ObjectSize>" + itoa(len(whole)) + "</ObjectSize>").wantBody("<ChecksumType>FULL_OBJECT</ChecksumType>")
	s.do("GET", target+"?attributes", "").want(400, "InvalidRequest")
	s.do("GET", target+"?attributes", "", with("X-Amz-Object-Attributes", "")).want(400, "InvalidRequest")
}

func TestMultipartRefusals(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	id := s.begin("/data/o")
	small, last := s.part("/data/o", id, 1, "small"), s.part("/data/o", id, 2, "last")
	s.do("POST", "/data/o?uploadId="+id, completion(1, small, 2, last)).want(400, "EntityTooSmall")
	s.do("POST", "/data/o?uploadId="+id, completion(2, last)).want(200, "")
	for _, other := range []string{"0000000000000000", "nonsense", id} {
		for _, c := range [][2]string{{"PUT", "?partNumber=1&uploadId="}, {"POST", "?uploadId="}, {"DELETE", "?uploadId="}, {"GET", "?uploadId="}} {
			if other == id && c[0] == "POST" {
				continue
			}
			s.do(c[0], "/data/o"+c[1]+other, completion(1, small)).want(404, "NoSuchUpload")
		}
	}
	id = s.begin("/data/o2")
	s.do("PUT", "/data/o2?partNumber=0&uploadId="+id, "x").want(400, "InvalidArgument")
	s.do("PUT", "/data/o2?partNumber=10001&uploadId="+id, "x").want(400, "InvalidArgument")
	s.do("PUT", "/data/o2?uploadId="+id, "x").want(400, "InvalidArgument")
	s.do("PUT", "/data/o2?partNumber=1", "x").want(400, "InvalidArgument")
	s.do("PUT", "/data/o3?partNumber=1&uploadId="+id, "x").want(404, "NoSuchUpload")
	first := s.part("/data/o2", id, 1, "first")
	second := s.part("/data/o2", id, 1, "second")
	s.do("POST", "/data/o2?uploadId="+id, completion(1, first)).want(400, "InvalidPart")
	s.do("POST", "/data/o2?uploadId="+id, `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><PartNumber>1</PartNumber><ETag>`+
		second+`</ETag></Part></CompleteMultipartUpload>`).want(200, "")
	id = s.begin("/data/o4")
	s.do("DELETE", "/data/o4?uploadId="+id, "").want(204, "")
	s.do("DELETE", "/data/o4?uploadId="+id, "").want(404, "NoSuchUpload")
	for _, h := range [][]string{{"x-amz-checksum-type", "COMPOSITE"}, {"x-amz-checksum-algorithm", "MD2"},
		{"x-amz-checksum-algorithm", "CRC64NVME", "x-amz-checksum-type", "COMPOSITE"}, {"x-amz-checksum-algorithm", "SHA1", "x-amz-checksum-type", "FULL_OBJECT"},
		{"x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "HALF"}} {
		s.do("POST", "/data/o?uploads", "", with(h...)).want(400, "InvalidRequest")
	}
}

//nolint:staticcheck // the manager is deprecated, yet what most programs use
func TestMultipartChecksums(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	c := s.root()
	body := bytes.Repeat([]byte("0123456789"), mib)
	for _, algorithm := range []string{"CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"} {
		up := manager.NewUploader(c, func(u *manager.Uploader) { u.PartSize = 5 * mib })
		in := &awss3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String(algorithm), Body: bytes.NewReader(body), ChecksumAlgorithm: checksumAlgorithm(algorithm)}
		if _, err := up.Upload(t.Context(), in); err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		head, err := c.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key, ChecksumMode: "ENABLED"})
		if err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		wantType := "COMPOSITE"
		if algorithm == "CRC64NVME" {
			wantType = "FULL_OBJECT"
		}
		if string(head.ChecksumType) != wantType {
			t.Errorf("%s: type %s, want %s", algorithm, head.ChecksumType, wantType)
		}
		// With the number of parts everywhere but among the attributes, as with S3.
		value := s.do("HEAD", "/data/"+algorithm, "", with("X-Amz-Checksum-Mode", "ENABLED")).header.Get("x-amz-checksum-" + algorithm)
		sum, parts, _ := strings.Cut(value, "-")
		if (parts == "2") != (wantType == "COMPOSITE") {
			t.Errorf("%s: value %s", algorithm, value)
		}
		if got := s.do("GET", "/data/"+algorithm+"?attributes", "", with("X-Amz-Object-Attributes", "Checksum")).want(200, "").element("Checksum" + algorithm); got != sum {
			t.Errorf("%s: attribute %s, want %s", algorithm, got, sum)
		}
		out, err := c.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: in.Bucket, Key: in.Key, ChecksumMode: "ENABLED"})
		if err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		if got, err := io.ReadAll(out.Body); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: %d bytes, %v", algorithm, len(got), err)
		}
	}
	// The whole's CRC from those of the parts.
	id := s.begin("/data/full", with("x-amz-checksum-algorithm", "CRC32C", "x-amz-checksum-type", "FULL_OBJECT"))
	e1 := s.part("/data/full", id, 1, string(body[:5*mib]))
	e2 := s.part("/data/full", id, 2, string(body[5*mib:]), with("x-amz-checksum-crc32c", crc32c(body[5*mib:])))
	s.do("PUT", "/data/full?partNumber=3&uploadId="+id, "x", with("x-amz-checksum-crc32", "jNwWgw==")).want(400, "InvalidRequest")
	s.do("POST", "/data/full?uploadId="+id, completion(1, e1, 2, e2), with("x-amz-checksum-crc32c", "AAAAAA==")).want(400, "BadDigest")
	s.do("POST", "/data/full?uploadId="+id, completion(1, e1, 2, e2), with("x-amz-checksum-crc32c", crc32c(body), "x-amz-checksum-type", "COMPOSITE")).want(400, "InvalidRequest")
	s.do("POST", "/data/full?uploadId="+id, completion(1, e1, 2, e2), with("x-amz-checksum-crc32c", crc32c(body), "x-amz-checksum-type", "FULL_OBJECT")).want(200, "").
		wantBody("<ChecksumCRC32C>" + crc32c(body) + "</ChecksumCRC32C><ChecksumType>FULL_OBJECT</ChecksumType>")
	id = s.begin("/data/composite", with("x-amz-checksum-algorithm", "SHA256"))
	e1 = s.part("/data/composite", id, 1, "x")
	s.do("POST", "/data/composite?uploadId="+id, completion(1, e1)).want(400, "InvalidRequest")
	// A checksum that the part has not got can't have been compared.
	id = s.begin("/data/other")
	e1 = s.part("/data/other", id, 1, "x")
	named := strings.Replace(completion(1, e1), "</Part>", "<ChecksumCRC32C>"+crc32c([]byte("y"))+"</ChecksumCRC32C></Part>", 1)
	s.do("POST", "/data/other?uploadId="+id, named).want(400, "InvalidPart")
}

func TestUploadPartCopy(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	src := strings.Repeat("0123456789", mib)
	s.put("data", "src", src)
	id := s.begin("/data/dst")
	copyPart := func(n int, edits ...edit) *answer {
		return s.do("PUT", fmt.Sprintf("/data/dst?partNumber=%d&uploadId=%s", n, id), "", append(edits, with("X-Amz-Copy-Source", "/data/src"))...)
	}
	for _, bad := range []string{"0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5", "bytes=5-2", "bytes=-5"} {
		copyPart(1, with("X-Amz-Copy-Source-Range", bad)).want(400, "InvalidArgument")
	}
	copyPart(1, with("X-Amz-Copy-Source-Range", "bytes=0-99999999")).want(400, "InvalidArgument")
	copyPart(1, with("X-Amz-Copy-Source-If-Match", "no")).want(412, "PreconditionFailed")
	e1 := copyPart(1, with("X-Amz-Copy-Source-Range", fmt.Sprintf("bytes=1-%d", 6*mib))).want(200, "").element("ETag")
	e2 := copyPart(2).want(200, "").element("ETag")
	s.do("POST", "/data/dst?uploadId="+id, completion(1, e1, 2, e2)).want(200, "")
	if a := s.do("GET", "/data/dst", ""); a.body != src[1:6*mib+1]+src {
		t.Errorf("got %d bytes", len(a.body))
	}
}
