package s3

import (
	"context"
	"strings"

	"gantry/store"
)

// maxKeys is the largest page S3 gives, and the default.
const maxKeys = 1000

// listing is what the three ways to list objects share.
type listing struct {
	store.List
	encodeURL bool
	owner     bool
}

func (r *request) parseListing() (*listing, error) {
	l := &listing{List: store.List{Bucket: r.bucket, Prefix: r.query.Get("prefix"), Delimiter: r.query.Get("delimiter")}}
	var err error
	if l.encodeURL, err = r.encodingType(); err != nil {
		return nil, err
	}
	l.Max, err = r.intParam("max-keys", 0, maxKeys, maxKeys)
	return l, err
}

// fetch gets the page. No keys at all need no look at the store, but the bucket must be there.
func (l *listing) fetch(ctx context.Context, g *Gateway) (store.Page, error) {
	if l.Max == 0 {
		_, err := g.objects.Bucket(ctx, l.Bucket)
		return store.Page{}, err
	}
	return g.objects.List(ctx, &l.List)
}

func (l *listing) writer() *xmlWriter {
	x := pooledXML()
	x.encodeURL = l.encodeURL
	return x
}

func (g *Gateway) listObjects(r *request) error {
	l, err := r.parseListing()
	if err != nil {
		return err
	}
	marker := r.query.Get("marker")
	startAfter(&l.List, marker)
	l.owner = true
	p, err := l.fetch(r.Context(), g)
	if err != nil {
		return err
	}
	x := l.writer()
	defer x.release()
	x.root("ListBucketResult")
	x.text("Name", r.bucket)
	x.key("Prefix", l.Prefix)
	x.key("Marker", marker)
	if p.Truncated && l.Delimiter != "" {
		x.key("NextMarker", p.Next)
	}
	l.common(x, p.Truncated)
	l.contents(x, &p)
	x.close("ListBucketResult")
	g.sendXML(r, x)
	return nil
}

// common writes the elements that every listing has.
func (l *listing) common(x *xmlWriter, truncated bool) {
	x.int("MaxKeys", int64(l.Max))
	if l.Delimiter != "" {
		x.key("Delimiter", l.Delimiter)
	}
	if l.encodeURL {
		x.text("EncodingType", "url")
	}
	x.bool("IsTruncated", truncated)
}

func (l *listing) contents(x *xmlWriter, p *store.Page) {
	for i := range p.Objects {
		info := &p.Objects[i]
		x.open("Contents")
		x.key("Key", info.Name)
		x.describe(info)
		if l.owner {
			x.owner("Owner", info.Owner)
		}
		x.close("Contents")
	}
	x.prefixes(p.Prefixes)
}

// describe writes what listings say of an object.
func (x *xmlWriter) describe(info *store.Info) {
	x.time("LastModified", info.Modified)
	x.etag(info.ETag)
	for i := range info.Checksums {
		x.text("ChecksumAlgorithm", info.Checksums[i].Algorithm)
		x.text("ChecksumType", checksumType(&info.Checksums[i]))
	}
	x.int("Size", info.Size)
	x.class(info.StorageClass)
}

func (x *xmlWriter) prefixes(list []string) {
	for _, p := range list {
		x.open("CommonPrefixes")
		x.key("Prefix", p)
		x.close("CommonPrefixes")
	}
}

func (g *Gateway) listObjectsV2(r *request) error {
	l, err := r.parseListing()
	if err != nil {
		return err
	}
	l.owner = strings.EqualFold(r.query.Get("fetch-owner"), "true")
	token, hasToken := r.query.Lookup("continuation-token")
	if token != "" {
		if l.After, l.SkipAfter, err = parseToken(token); err != nil {
			return err
		}
	} else {
		startAfter(&l.List, r.query.Get("start-after"))
	}
	p, err := l.fetch(r.Context(), g)
	if err != nil {
		return err
	}
	x := l.writer()
	defer x.release()
	x.root("ListBucketResult")
	x.text("Name", r.bucket)
	x.key("Prefix", l.Prefix)
	if v, ok := r.query.Lookup("start-after"); ok {
		x.key("StartAfter", v)
	}
	if hasToken {
		x.text("ContinuationToken", token)
	}
	if p.Truncated {
		x.text("NextContinuationToken", makeToken(p.Next, p.NextSkip))
	}
	x.int("KeyCount", int64(len(p.Objects)+len(p.Prefixes)))
	l.common(x, p.Truncated)
	l.contents(x, &p)
	x.close("ListBucketResult")
	g.sendXML(r, x)
	return nil
}

// listVersions lists the one version that every object has.
func (g *Gateway) listVersions(r *request) error {
	l, err := r.parseListing()
	if err != nil {
		return err
	}
	marker, version := r.query.Get("key-marker"), r.query.Get("version-id-marker")
	if version != "" && marker == "" {
		return errArgument("A version-id marker cannot be specified without a key marker.", "version-id-marker", version)
	}
	startAfter(&l.List, marker)
	p, err := l.fetch(r.Context(), g)
	if err != nil {
		return err
	}
	x := l.writer()
	defer x.release()
	x.root("ListVersionsResult")
	x.text("Name", r.bucket)
	x.key("Prefix", l.Prefix)
	x.key("KeyMarker", marker)
	x.text("VersionIdMarker", version)
	if p.Truncated {
		x.key("NextKeyMarker", p.Next)
		if !p.NextSkip {
			x.text("NextVersionIdMarker", store.NullVersion)
		}
	}
	l.common(x, p.Truncated)
	for i := range p.Objects {
		info := &p.Objects[i]
		x.open("Version")
		x.key("Key", info.Name)
		x.text("VersionId", store.NullVersion)
		x.bool("IsLatest", true)
		x.describe(info)
		x.owner("Owner", info.Owner)
		x.close("Version")
	}
	x.prefixes(p.Prefixes)
	x.close("ListVersionsResult")
	g.sendXML(r, x)
	return nil
}
