package s3

import (
	"slices"
	"strings"

	"gantry/store"
)

// attributes are those that GetObjectAttributes can be asked for.
type attributes struct{ etag, checksum, parts, class, size bool }

func (r *request) parseAttributes() (a attributes, err error) {
	const name = "x-amz-object-attributes"
	found := false
	for i := range r.amz {
		if r.amz[i].name != name || r.amz[i].value == "" {
			continue
		}
		for v := range strings.SplitSeq(r.amz[i].value, ",") {
			found = true
			switch strings.TrimSpace(v) {
			case "ETag":
				a.etag = true
			case "Checksum":
				a.checksum = true
			case "ObjectParts":
				a.parts = true
			case "StorageClass":
				a.class = true
			case "ObjectSize":
				a.size = true
			default:
				return a, errArgument("Invalid attribute name specified.", name, v)
			}
		}
	}
	if !found {
		return a, newError(codeInvalidRequest, "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty")
	}
	return a, nil
}

func (g *Gateway) getAttributes(r *request) error {
	if err := r.checkVersion(); err != nil {
		return err
	}
	a, err := r.parseAttributes()
	if err != nil {
		return err
	}
	obj, err := g.objects.Get(r.Context(), r.objectKey())
	if err != nil {
		return err
	}
	defer obj.Close()
	info := &obj.Info
	x := newXML()
	x.root("GetObjectAttributesResponse")
	if a.etag {
		x.text("ETag", info.ETag)
	}
	if a.checksum && len(info.Checksums) > 0 {
		x.open("Checksum")
		x.checksums(withoutPartCounts(info.Checksums))
		x.close("Checksum")
	}
	if a.parts && info.PartCount > 0 {
		if err := r.objectParts(x, obj); err != nil {
			return err
		}
	}
	if a.class {
		x.class(info.StorageClass)
	}
	if a.size {
		x.int("ObjectSize", info.Size)
	}
	x.close("GetObjectAttributesResponse")
	r.SetHeader("Last-Modified", httpTime(info.Modified))
	g.sendXML(r, x)
	return nil
}

// withoutPartCounts takes off the number of parts that composite checksums end in: S3 does not give it with attributes.
func withoutPartCounts(sums []store.Checksum) []store.Checksum {
	sums = slices.Clone(sums)
	for i := range sums {
		sums[i].Value, _, _ = strings.Cut(sums[i].Value, "-")
	}
	return sums
}

// objectParts writes a page of the parts that an object was uploaded in.
func (r *request) objectParts(x *xmlWriter, obj *store.Object) error {
	limit, err := parseLimit(r.amzHeader("x-amz-max-parts"), "x-amz-max-parts", 0, maxKeys, maxKeys)
	if err != nil {
		return err
	}
	marker, err := parseLimit(r.amzHeader("x-amz-part-number-marker"), "x-amz-part-number-marker", 0, store.MaxParts, 0)
	if err != nil {
		return err
	}
	parts, err := obj.Parts()
	if err != nil {
		return err
	}
	total := len(parts)
	for len(parts) > 0 && parts[0].Number <= marker {
		parts = parts[1:]
	}
	truncated := len(parts) > limit
	parts = parts[:min(len(parts), limit)]
	x.open("ObjectParts")
	x.int("PartsCount", int64(total))
	x.int("PartNumberMarker", int64(marker))
	if n := len(parts); n > 0 {
		x.int("NextPartNumberMarker", int64(parts[n-1].Number))
	}
	x.int("MaxParts", int64(limit))
	x.bool("IsTruncated", truncated)
	for i := range parts {
		x.open("Part")
		x.int("PartNumber", int64(parts[i].Number))
		x.int("Size", parts[i].Size)
		x.checksumValues(parts[i].Checksums)
		x.close("Part")
	}
	x.close("ObjectParts")
	return nil
}
