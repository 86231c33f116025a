package clienttest_test

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// begin opens an upload.
func (a *awsSession) begin(in *s3.CreateMultipartUploadInput) (id *string) {
	a.t.Helper()
	in.Bucket = a.bucket
	out, err := a.CreateMultipartUpload(a.t.Context(), in)
	a.ok("create upload", err)
	return out.UploadId
}

func (a *awsSession) part(key string, id *string, number int32, body []byte) types.CompletedPart {
	a.t.Helper()
	out, err := a.UploadPart(a.t.Context(), &s3.UploadPartInput{Bucket: a.bucket, Key: &key, UploadId: id, PartNumber: &number, Body: bytes.NewReader(body)})
	a.ok(fmt.Sprintf("part %d", number), err)
	return types.CompletedPart{PartNumber: &number, ETag: out.ETag}
}

func (a *awsSession) complete(key string, id *string, parts ...types.CompletedPart) (*s3.CompleteMultipartUploadOutput, error) {
	return a.CompleteMultipartUpload(a.t.Context(), &s3.CompleteMultipartUploadInput{Bucket: a.bucket, Key: &key, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
}

func (a *awsSession) multipart() {
	ctx, key := a.t.Context(), "multipart"
	one, two, replaced, three := content(5*mib, 61), content(6*mib, 62), content(5*mib+1, 63), content(1, 64)
	id := a.begin(&s3.CreateMultipartUploadInput{Key: &key, ContentType: aws.String("x/multi"), Metadata: map[string]string{"k": "v"}})
	p3, p1 := a.part(key, id, 3, three), a.part(key, id, 1, one) // in any order
	a.part(key, id, 2, replaced)
	p2, p4 := a.part(key, id, 2, two), a.part(key, id, 4, replaced)

	var numbers []int32
	pages := s3.NewListPartsPaginator(a.Client, &s3.ListPartsInput{Bucket: a.bucket, Key: &key, UploadId: id, MaxParts: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		a.ok("list parts", err)
		for _, p := range page.Parts {
			numbers = append(numbers, *p.PartNumber)
		}
	}
	if !slices.Equal(numbers, []int32{1, 2, 3, 4}) {
		a.t.Errorf("parts: %v", numbers)
	}
	_, err := a.head(key)
	a.refused("visible before complete", err, "NotFound")
	_, err = a.complete(key, id, p2, p1)
	a.refused("wrong order", err, "InvalidPartOrder")
	_, err = a.complete(key, id, p1, p3, p4)
	a.refused("small part in the middle", err, "EntityTooSmall")
	_, err = a.complete(key, id, p1, types.CompletedPart{PartNumber: aws.Int32(2), ETag: p1.ETag})
	a.refused("wrong ETag", err, "InvalidPart")
	out, err := a.complete(key, id, p1, p2)
	a.ok("complete", err)
	equal(a.t, "ETag", *out.ETag, `"`+multipartETag(one, two)+`"`)
	got, g := a.get(key, nil)
	same(a.t, key, got, slices.Concat(one, two))
	equal(a.t, "kept", *g.ContentType+g.Metadata["k"], "x/multiv")
	for number, want := range map[int32][]byte{1: one, 2: two} {
		got, g := a.get(key, &s3.GetObjectInput{PartNumber: &number})
		same(a.t, fmt.Sprintf("part %d", number), got, want)
		equal(a.t, "parts count", aws.ToInt32(g.PartsCount), 2)
	}
	_, err = a.GetObject(ctx, &s3.GetObjectInput{Bucket: a.bucket, Key: &key, PartNumber: aws.Int32(3)})
	a.refused("no such part", err, "InvalidPartNumber", "InvalidPart", "InvalidRange")
	attrs, err := a.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: a.bucket, Key: &key, ObjectAttributes: []types.ObjectAttributes{"ObjectParts", "ObjectSize", "ETag"}})
	a.ok("attributes", err)
	equal(a.t, "total parts", aws.ToInt32(attrs.ObjectParts.TotalPartsCount), 2)
	_, err = a.UploadPart(ctx, &s3.UploadPartInput{Bucket: a.bucket, Key: &key, UploadId: id, PartNumber: aws.Int32(1), Body: bytes.NewReader(three)})
	a.refused("part after complete", err, "NoSuchUpload")
	a.partCopies(one, two)
}

// partCopies makes an object from ranges of another.
func (a *awsSession) partCopies(one, two []byte) {
	a.t.Helper()
	ctx, key := a.t.Context(), "part-copy"
	id := a.begin(&s3.CreateMultipartUploadInput{Key: &key})
	var parts []types.CompletedPart
	for i, r := range []string{"bytes=7-5242886", "bytes=0-9"} {
		out, err := a.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: a.bucket, Key: &key, UploadId: id, PartNumber: aws.Int32(int32(i + 1)), CopySource: aws.String(*a.bucket + "/multipart"), CopySourceRange: &r})
		a.ok("copy part", err)
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: out.CopyPartResult.ETag})
	}
	_, err := a.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: a.bucket, Key: &key, UploadId: id, PartNumber: aws.Int32(3), CopySource: aws.String(*a.bucket + "/multipart"), CopySourceRange: aws.String("bytes=0-99999999")})
	a.refused("range past the end", err, "InvalidArgument", "InvalidRange")
	_, err = a.complete(key, id, parts...)
	a.ok("complete", err)
	got, _ := a.get(key, nil)
	whole := slices.Concat(one, two)
	same(a.t, "part copies", got, slices.Concat(whole[7:5242887], whole[:10]))
}

// multipartChecksums completes uploads with every algorithm, composite or of the full object as S3 allows.
func (a *awsSession) multipartChecksums() {
	ctx, bodies := a.t.Context(), [][]byte{content(5*mib, 71), content(77, 72)}
	for _, c := range []struct {
		alg types.ChecksumAlgorithm
		typ types.ChecksumType
	}{
		{"CRC32", "COMPOSITE"}, {"CRC32", "FULL_OBJECT"}, {"CRC32C", "COMPOSITE"}, {"CRC32C", "FULL_OBJECT"}, {"CRC64NVME", "FULL_OBJECT"}, {"SHA1", "COMPOSITE"}, {"SHA256", "COMPOSITE"},
	} {
		key := fmt.Sprintf("multi/%s-%s", c.alg, c.typ)
		id := a.begin(&s3.CreateMultipartUploadInput{Key: &key, ChecksumAlgorithm: c.alg, ChecksumType: c.typ})
		var parts []types.CompletedPart
		for i, body := range bodies {
			number := int32(i + 1)
			p, err := a.UploadPart(ctx, &s3.UploadPartInput{Bucket: a.bucket, Key: &key, UploadId: id, PartNumber: &number, Body: bytes.NewReader(body), ChecksumAlgorithm: c.alg})
			a.ok(key+" part", err)
			parts = append(parts, types.CompletedPart{PartNumber: &number, ETag: p.ETag, ChecksumCRC32: p.ChecksumCRC32, ChecksumCRC32C: p.ChecksumCRC32C,
				ChecksumCRC64NVME: p.ChecksumCRC64NVME, ChecksumSHA1: p.ChecksumSHA1, ChecksumSHA256: p.ChecksumSHA256})
		}
		done, err := a.complete(key, id, parts...)
		a.ok(key+" complete", err)
		want := checksumOf(c.alg, done.ChecksumCRC32, done.ChecksumCRC32C, done.ChecksumCRC64NVME, done.ChecksumSHA1, done.ChecksumSHA256)
		if want == "" || strings.HasSuffix(want, "-2") != (c.typ == types.ChecksumTypeComposite) {
			a.t.Errorf("%s: checksum %q", key, want)
		}
		h, err := a.head(key)
		a.ok(key+" head", err)
		equal(a.t, key, checksumOf(c.alg, h.ChecksumCRC32, h.ChecksumCRC32C, h.ChecksumCRC64NVME, h.ChecksumSHA1, h.ChecksumSHA256), want)
		equal(a.t, key+" type", h.ChecksumType, c.typ)
		got, _ := a.get(key, &s3.GetObjectInput{ChecksumMode: types.ChecksumModeEnabled})
		same(a.t, key, got, slices.Concat(bodies...))
		attrs, err := a.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: a.bucket, Key: &key, ObjectAttributes: []types.ObjectAttributes{"ObjectParts", "Checksum"}})
		a.ok(key+" attributes", err)
		equal(a.t, key+" parts", aws.ToInt32(attrs.ObjectParts.TotalPartsCount), 2)
	}
}

func (a *awsSession) uploads() {
	ctx := a.t.Context()
	var want []string
	for _, key := range []string{"up/a", "up/b", "up/b", "up/c/d"} {
		id := a.begin(&s3.CreateMultipartUploadInput{Key: &key})
		want = append(want, key+"#"+*id)
	}
	var got []string
	in := &s3.ListMultipartUploadsInput{Bucket: a.bucket, Prefix: aws.String("up/"), MaxUploads: aws.Int32(3)}
	for {
		page, err := a.ListMultipartUploads(ctx, in)
		a.ok("list uploads", err)
		for _, u := range page.Uploads {
			got = append(got, *u.Key+"#"+*u.UploadId)
		}
		if !aws.ToBool(page.IsTruncated) {
			break
		}
		in.KeyMarker, in.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
	if a.s.ours() && !slices.Equal(got, want) {
		a.t.Errorf("uploads: got %q, want %q", got, want)
	}
	for _, u := range want {
		key, id, _ := strings.Cut(u, "#")
		_, err := a.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: a.bucket, Key: &key, UploadId: &id})
		a.ok("abort", err)
		_, err = a.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: a.bucket, Key: &key, UploadId: &id})
		a.refused("abort again", err, "NoSuchUpload")
	}
	page, err := a.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: a.bucket, Prefix: aws.String("up/")})
	a.ok("list uploads", err)
	equal(a.t, "uploads left", len(page.Uploads), 0)
}

// listKeys are in UTF-8 byte order, which is not UTF-16's: U+FF61 comes before U+1F600.
var listKeys = []string{"L/", "L/ a", "L/a", "L/a/1", "L/a/2", "L/a0", "L/b//x", "L/b/y", "L/ä", "L/\uff61", "L/\U0001f600"}

func (a *awsSession) lists() {
	ctx, prefix := a.t.Context(), aws.String("L/")
	for _, key := range listKeys {
		a.put(key, []byte(key))
	}
	for _, size := range []int32{1, 3, 1000} {
		var v1, v2, tree []string
		two := s3.NewListObjectsV2Paginator(a.Client, &s3.ListObjectsV2Input{Bucket: a.bucket, Prefix: prefix, MaxKeys: &size, EncodingType: types.EncodingTypeUrl})
		for two.HasMorePages() {
			page, err := two.NextPage(ctx)
			a.ok("list v2", err)
			for _, o := range page.Contents {
				key, err := url.QueryUnescape(*o.Key)
				a.ok("unescape", err)
				v2 = append(v2, key)
			}
		}
		in := &s3.ListObjectsInput{Bucket: a.bucket, Prefix: prefix, MaxKeys: &size}
		for {
			page, err := a.ListObjects(ctx, in)
			a.ok("list v1", err)
			for _, o := range page.Contents {
				v1 = append(v1, *o.Key)
			}
			if !aws.ToBool(page.IsTruncated) {
				break
			}
			in.Marker = aws.String(v1[len(v1)-1])
		}
		delimited := s3.NewListObjectsV2Paginator(a.Client, &s3.ListObjectsV2Input{Bucket: a.bucket, Prefix: prefix, Delimiter: aws.String("/"), MaxKeys: &size})
		for delimited.HasMorePages() {
			page, err := delimited.NextPage(ctx)
			a.ok("list delimited", err)
			if n := int32(len(page.Contents) + len(page.CommonPrefixes)); n > size || n != *page.KeyCount {
				a.t.Errorf("page of %d, KeyCount %d, limit %d", n, *page.KeyCount, size)
			}
			for _, o := range page.Contents {
				tree = append(tree, *o.Key)
			}
			for _, p := range page.CommonPrefixes {
				tree = append(tree, *p.Prefix)
			}
		}
		slices.Sort(tree)
		if !slices.Equal(v1, listKeys) || !slices.Equal(v2, listKeys) {
			a.t.Errorf("pages of %d: v1 %q, v2 %q", size, v1, v2)
		}
		if want := []string{"L/", "L/ a", "L/a", "L/a/", "L/a0", "L/b/", "L/ä", "L/\uff61", "L/\U0001f600"}; !slices.Equal(tree, want) {
			a.t.Errorf("delimited pages of %d: %q", size, tree)
		}
	}
	none, err := a.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: a.bucket, Prefix: prefix, MaxKeys: aws.Int32(0)})
	a.ok("list of none", err)
	equal(a.t, "keys of none", len(none.Contents), 0)
	_, err = a.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("no-such-bucket")})
	a.refused("list of no bucket", err, "NoSuchBucket")
}

func (a *awsSession) bulkDelete() {
	ctx := a.t.Context()
	var ids []types.ObjectIdentifier
	for i := range 30 {
		key := fmt.Sprintf("bulk/%02d/<&>", i)
		a.put(key, nil)
		ids = append(ids, types.ObjectIdentifier{Key: &key})
	}
	out, err := a.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: a.bucket, Delete: &types.Delete{Objects: ids[:10]}})
	a.ok("delete", err)
	equal(a.t, "deleted", len(out.Deleted), 10)
	out, err = a.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: a.bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}})
	a.ok("delete quietly", err)
	equal(a.t, "reported", len(out.Deleted)+len(out.Errors), 0)
	left, err := a.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: a.bucket, Prefix: aws.String("bulk/")})
	a.ok("list", err)
	equal(a.t, "left", len(left.Contents), 0)
	_, err = a.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: a.bucket, Delete: &types.Delete{Objects: slices.Repeat(ids[:1], 1001)}})
	a.refused("1001 keys", err, "MalformedXML")
}
