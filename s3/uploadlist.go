package s3

import (
	"gantry/store"
)

func (g *Gateway) listParts(r *request) error {
	limit, err := r.intParam("max-parts", 0, maxKeys, maxKeys)
	if err != nil {
		return err
	}
	marker, err := r.intParam("part-number-marker", 0, store.MaxParts, 0)
	if err != nil {
		return err
	}
	up, err := g.objects.Upload(r.Context(), r.objectKey(), r.query.Get("uploadId"))
	if err != nil {
		return err
	}
	parts, truncated, err := g.objects.Parts(r.Context(), r.objectKey(), up.ID, marker, limit)
	if err != nil {
		return err
	}
	x := pooledXML()
	defer x.release()
	x.root("ListPartsResult")
	x.text("Bucket", r.bucket)
	x.text("Key", r.key)
	x.text("UploadId", up.ID)
	x.owner("Initiator", up.Principal)
	x.owner("Owner", up.Owner)
	x.class(up.StorageClass)
	x.int("PartNumberMarker", int64(marker))
	if n := len(parts); n > 0 {
		x.int("NextPartNumberMarker", int64(parts[n-1].Number))
	}
	x.int("MaxParts", int64(limit))
	x.bool("IsTruncated", truncated)
	if up.ChecksumAlgorithm != "" {
		x.text("ChecksumAlgorithm", up.ChecksumAlgorithm)
		x.text("ChecksumType", uploadType(&up.NewUpload))
	}
	for i := range parts {
		x.part(&parts[i])
	}
	x.close("ListPartsResult")
	g.sendXML(r, x)
	return nil
}

func (x *xmlWriter) part(p *store.Part) {
	x.open("Part")
	x.int("PartNumber", int64(p.Number))
	x.time("LastModified", p.Modified)
	x.etag(p.ETag)
	x.int("Size", p.Size)
	x.checksumValues(p.Checksums)
	x.close("Part")
}

func (x *xmlWriter) class(c string) {
	if c == "" {
		c = defaultClass
	}
	x.text("StorageClass", c)
}

func (g *Gateway) listUploads(r *request) error {
	encodeURL, err := r.encodingType()
	if err != nil {
		return err
	}
	l := store.ListUploads{Bucket: r.bucket, Prefix: r.query.Get("prefix"), Delimiter: r.query.Get("delimiter"),
		AfterKey: r.query.Get("key-marker"), AfterID: r.query.Get("upload-id-marker")}
	if l.AfterKey == "" {
		l.AfterID = "" // as S3: it counts only together with a key marker
	}
	if l.Max, err = r.intParam("max-uploads", 0, maxKeys, maxKeys); err != nil {
		return err
	}
	p, err := g.objects.Uploads(r.Context(), &l)
	if err != nil {
		return err
	}
	x := pooledXML()
	defer x.release()
	x.encodeURL = encodeURL
	x.root("ListMultipartUploadsResult")
	x.text("Bucket", r.bucket)
	x.key("KeyMarker", l.AfterKey)
	x.text("UploadIdMarker", l.AfterID)
	if p.Truncated {
		x.key("NextKeyMarker", p.NextKey)
		x.text("NextUploadIdMarker", p.NextID)
	}
	x.key("Prefix", l.Prefix)
	if l.Delimiter != "" {
		x.key("Delimiter", l.Delimiter)
	}
	if encodeURL {
		x.text("EncodingType", "url")
	}
	x.int("MaxUploads", int64(l.Max))
	x.bool("IsTruncated", p.Truncated)
	for i := range p.Uploads {
		x.upload(&p.Uploads[i])
	}
	x.prefixes(p.Prefixes)
	x.close("ListMultipartUploadsResult")
	g.sendXML(r, x)
	return nil
}

func (x *xmlWriter) upload(u *store.Upload) {
	x.open("Upload")
	x.key("Key", u.Name)
	x.text("UploadId", u.ID)
	x.owner("Initiator", u.Principal)
	x.owner("Owner", u.Owner)
	x.class(u.StorageClass)
	x.time("Initiated", u.Initiated)
	if u.ChecksumAlgorithm != "" {
		x.text("ChecksumAlgorithm", u.ChecksumAlgorithm)
		x.text("ChecksumType", uploadType(&u.NewUpload))
	}
	x.close("Upload")
}
