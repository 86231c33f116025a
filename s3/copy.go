package s3

import (
	"io"
	"strings"
	"unicode/utf8"

	"gantry/internal/auth"
	"gantry/s3/checksum"
	"gantry/s3/sigv4"
	"gantry/store"
)

// parseCopySource reads x-amz-copy-source: bucket and key, URL-encoded as in a form (a plus sign is a space, as S3 has it), with or
// without a leading slash, and perhaps a version.
func parseCopySource(h string) (k store.Key, version string, err error) {
	bad := errArgument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source", h)
	path := strings.TrimPrefix(h, "/")
	if i := strings.LastIndex(path, "?versionId="); i >= 0 {
		path, version = path[:i], path[i+len("?versionId="):]
	}
	path, ok := sigv4.Unescape(path, true)
	if !ok || !utf8.ValidString(path) {
		return k, "", bad
	}
	path = strings.TrimPrefix(path, "/")
	k.Bucket, k.Name, ok = strings.Cut(path, "/")
	if !ok || k.Bucket == "" || k.Name == "" {
		return k, "", bad
	}
	if strings.HasPrefix(k.Bucket, "arn:") {
		return k, "", errNotImplemented("Header", "x-amz-copy-source")
	}
	if len(k.Name) > store.MaxKeyBytes {
		return k, "", newError(codeKeyTooLong, "")
	}
	return k, version, nil
}

// openSource opens the source of a copy, if the caller may read it and its preconditions hold. The caller closes it.
func (g *Gateway) openSource(r *request) (*store.Object, error) {
	k, version, err := parseCopySource(r.amzHeader("x-amz-copy-source"))
	if err != nil {
		return nil, err
	}
	if version != "" && version != store.NullVersion {
		return nil, newError(codeNoSuchVersion, "").with("VersionId", clip(version))
	}
	if !g.allows(r, auth.Read, k.Bucket) {
		return nil, newError(codeAccessDenied, "")
	}
	if want := r.amzHeader("x-amz-source-expected-bucket-owner"); want != "" {
		if err := g.checkOwner(r, k.Bucket, want); err != nil {
			return nil, err
		}
	}
	obj, err := g.objects.Get(r.Context(), k)
	if err != nil {
		return nil, err
	}
	c := r.sourceConditions()
	if status, name := c.failed(&obj.Info); status != 0 {
		_ = obj.Close()
		return nil, newError(codePreconditionFailed, "").with("Condition", "x-amz-copy-source-"+name)
	}
	return obj, nil
}

func (g *Gateway) copyObject(r *request) error {
	if err := r.refuseVersion(); err != nil {
		return err
	}
	condition, err := r.writeCondition()
	if err != nil {
		return err
	}
	algorithm, err := r.namedAlgorithm()
	if err != nil {
		return err
	}
	if _, ranged := r.lookupAmz("x-amz-copy-source-range"); ranged { // that is UploadPartCopy's; the whole would be a wrong answer
		return errNotImplemented("Header", "x-amz-copy-source-range")
	}
	src, err := g.openSource(r)
	if err != nil {
		return err
	}
	defer src.Close()
	if src.Size > store.MaxPut {
		return errSourceTooLarge()
	}
	meta, err := r.copyMeta(&src.Info)
	if err != nil {
		return err
	}
	if algorithm == checksum.None {
		algorithm = inherited(&src.Info)
	}
	b, closer := sourceBody(r, src, span{0, src.Size}, algorithm)
	defer closer.Close()
	res, err := g.objects.Put(r.Context(), &store.Put{Key: r.objectKey(), Body: b, Size: b.size, Sums: b.sums, Meta: meta,
		Origin: r.origin(), If: condition})
	if err != nil {
		return err
	}
	r.setIndexed(&res)
	x := newXML()
	x.root("CopyObjectResult")
	x.time("LastModified", res.Modified)
	x.etag(res.ETag)
	x.checksums(res.Checksums)
	x.close("CopyObjectResult")
	g.sendXML(r, x)
	return nil
}

// namedAlgorithm reads which checksum an object shall have that comes without one; None means the default, or that of the source of a copy.
func (r *request) namedAlgorithm() (checksum.Algorithm, error) {
	v := r.amzHeader("x-amz-checksum-algorithm")
	if v == "" {
		return checksum.None, nil
	}
	return parseAlgorithm(v)
}

// inherited is the algorithm of an object's checksum, computed anew over the whole; the default where it has none.
func inherited(info *store.Info) checksum.Algorithm {
	for i := range info.Checksums {
		if a, ok := checksum.Parse(info.Checksums[i].Algorithm); ok {
			return a
		}
	}
	return checksum.CRC64NVME
}

// copyMeta applies the directives for metadata and tags.
func (r *request) copyMeta(src *store.Info) (store.Meta, error) {
	own, err := r.meta()
	if err != nil {
		return own, err
	}
	replace, err := r.directive("x-amz-metadata-directive", "Unknown metadata directive.")
	if err != nil {
		return own, err
	}
	replaceTags, err := r.directive("x-amz-tagging-directive", "Unknown tagging directive.")
	if err != nil {
		return own, err
	}
	m := own
	if !replace {
		m.System, m.User = src.System, src.User
	}
	if !replaceTags {
		m.Tags = src.Tags
	}
	_, class := r.lookupAmz("x-amz-storage-class")
	if src.Key == r.objectKey() && !replace && !replaceTags && (!class || m.StorageClass == src.StorageClass) {
		return m, newError(codeInvalidRequest, "This copy request is illegal because it is trying to copy an object to itself without "+
			"changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	return m, nil
}

func (r *request) directive(name, complaint string) (replace bool, err error) {
	switch v := r.amzHeader(name); v {
	case "", "COPY":
		return false, nil
	case "REPLACE":
		return true, nil
	default:
		return false, errArgument(complaint, name, v)
	}
}

// sourceBody reads a piece of an object as a body, and hashes it as one.
func sourceBody(r *request, src *store.Object, s span, algorithm checksum.Algorithm) (*body, io.Closer) {
	stream := src.Range(s.off, s.n)
	return newPlainBody(stream, s.n, algorithm, r.etags), stream
}

func (g *Gateway) uploadPartCopy(r *request) error {
	number, up, err := g.partTarget(r)
	if err != nil {
		return err
	}
	src, err := g.openSource(r)
	if err != nil {
		return err
	}
	defer src.Close()
	piece := span{0, src.Size}
	if h := r.amzHeader("x-amz-copy-source-range"); h != "" {
		if piece, err = parseCopyRange(h, src.Size); err != nil {
			return err
		}
	} else if src.Size > store.MaxPut {
		return errSourceTooLarge()
	}
	b, closer := sourceBody(r, src, piece, partAlgorithm(up))
	defer closer.Close()
	part, err := g.objects.PutPart(r.Context(), &store.PutPart{Key: r.objectKey(), UploadID: up.ID, Number: number, Body: b,
		Size: piece.n, Sums: b.sums, Origin: r.origin()})
	if err != nil {
		return err
	}
	x := newXML()
	x.root("CopyPartResult")
	x.time("LastModified", part.Modified)
	x.etag(part.ETag)
	if up.ChecksumAlgorithm != "" {
		x.checksumValues(part.Checksums)
	}
	x.close("CopyPartResult")
	g.sendXML(r, x)
	return nil
}

// checksums writes the checksums of an object with their type.
func (x *xmlWriter) checksums(sums []store.Checksum) {
	x.checksumValues(sums)
	if len(sums) > 0 {
		x.text("ChecksumType", checksumType(&sums[0]))
	}
}

func (x *xmlWriter) checksumValues(sums []store.Checksum) {
	for i := range sums {
		if a, ok := checksum.Parse(sums[i].Algorithm); ok {
			x.text(a.Element(), sums[i].Value)
		}
	}
}
