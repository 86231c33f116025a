package s3

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"gantry/internal/auth"
	"gantry/store"
)

// Headers of our own: settings of a bucket when it is created and asked for, and what became of an object.
const (
	headerDICOM      = "x-gantry-dicom"
	headerStrict     = "x-gantry-strict"
	headerDuplicates = "x-gantry-duplicates"
	headerDuplicate  = "x-gantry-duplicate" // another object has the same SOP Instance UID and stays the indexed one
	headerUnindexed  = "x-gantry-unindexed" // the object could not be read as DICOM
)

const maxBuckets = 10000 // largest page of ListBuckets

func (g *Gateway) listBuckets(r *request) error {
	limit, err := r.intParam("max-buckets", 1, maxBuckets, maxBuckets)
	if err != nil {
		return err
	}
	after, _, err := parseToken(r.query.Get("continuation-token"))
	if err != nil {
		return err
	}
	all, err := g.objects.Buckets(r.Context())
	if err != nil {
		return err
	}
	if region := r.query.Get("bucket-region"); region != "" && region != g.region {
		all = nil
	}
	prefix := r.query.Get("prefix")
	x := newXML()
	x.root("ListAllMyBucketsResult")
	x.owner("Owner", r.credential.ID)
	x.open("Buckets")
	last, n := "", 0
	for i := range all {
		b := &all[i]
		if b.Name <= after || !strings.HasPrefix(b.Name, prefix) || !g.allows(r, auth.Read, b.Name) {
			continue
		}
		if n++; n > limit {
			break
		}
		last = b.Name
		x.open("Bucket")
		x.text("Name", b.Name)
		x.time("CreationDate", b.Created)
		x.text("BucketRegion", g.region)
		x.close("Bucket")
	}
	x.close("Buckets")
	x.optional("Prefix", prefix)
	if n > limit {
		x.text("ContinuationToken", makeToken(last, false))
	}
	x.close("ListAllMyBucketsResult")
	g.sendXML(r, x)
	return nil
}

func (g *Gateway) createBucket(r *request) error {
	if err := r.refuseVersion(); err != nil {
		return err
	}
	raw, release, err := g.readXML(r, maxSmallXML, false)
	if err != nil {
		return err
	}
	defer release()
	if err := parseCreateBucket(raw); err != nil {
		return err
	}
	settings, err := r.bucketSettings()
	if err != nil {
		return err
	}
	if _, err := g.objects.CreateBucket(r.Context(), r.bucket, settings, r.origin()); err != nil {
		if errors.Is(err, store.ErrBucketExists) {
			return g.errBucketExists(r)
		}
		return err
	}
	r.SetHeader("Location", "/"+r.bucket)
	r.NoContent(http.StatusOK)
	return nil
}

// errBucketExists tells whose bucket it is; who may not see it learns only that the name is taken.
func (g *Gateway) errBucketExists(r *request) error {
	b, err := g.objects.Bucket(r.Context(), r.bucket)
	if err == nil && b.Owner != r.credential.ID {
		return newError(codeBucketExists, "").with("BucketName", r.bucket)
	}
	return newError(codeBucketOwned, "").with("BucketName", r.bucket)
}

// bucketSettings reads the x-gantry-* headers of CreateBucket.
func (r *request) bucketSettings() (store.BucketSettings, error) {
	var st store.BucketSettings
	var err error
	if st.DICOM, err = r.boolHeader(headerDICOM); err != nil {
		return st, err
	}
	if st.Strict, err = r.boolHeader(headerStrict); err != nil {
		return st, err
	}
	switch d := store.Duplicates(r.Header(headerDuplicates)); d {
	case "", store.Refuse, store.Replace, store.Keep:
		st.Duplicates = d
	default:
		return st, errArgument("Duplicates are refuse, replace or keep.", headerDuplicates, string(d))
	}
	if !st.DICOM && (st.Strict || st.Duplicates != "") {
		return st, errArgument("Only a dicom bucket can be strict or have a rule for duplicates.", headerDICOM, "false")
	}
	return st, nil
}

func (r *request) boolHeader(name string) (bool, error) {
	v := r.Header(name)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, errArgument("The header must be true or false.", name, v)
	}
	return b, nil
}

func (g *Gateway) headBucket(r *request) error {
	b, err := g.objects.Bucket(r.Context(), r.bucket)
	if err != nil {
		return err
	}
	r.SetHeader("x-amz-bucket-region", g.region)
	r.SetHeader("x-amz-access-point-alias", "false")
	if b.Settings.DICOM {
		duplicates := b.Settings.Duplicates
		if duplicates == "" {
			duplicates = store.Refuse
		}
		r.SetHeader(headerDICOM, "true")
		r.SetHeader(headerStrict, strconv.FormatBool(b.Settings.Strict))
		r.SetHeader(headerDuplicates, string(duplicates))
	}
	r.SetHeader("Content-Type", contentXML)
	r.NoContent(http.StatusOK)
	return nil
}

func (g *Gateway) deleteBucket(r *request) error {
	if err := g.objects.DeleteBucket(r.Context(), r.bucket, r.origin()); err != nil {
		return err
	}
	r.NoContent(http.StatusNoContent)
	return nil
}
