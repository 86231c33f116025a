package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"gantry/store/catalog"
	"gantry/store/segment"
)

// reservedBuckets are path elements of the DICOMweb root, which would hide a bucket of that name.
var reservedBuckets = map[string]bool{"studies": true, "series": true, "instances": true, "bulkdata": true}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// CheckBucketName applies S3's rules for general purpose buckets and refuses gantry's reserved names: ErrInvalidBucketName.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
func CheckBucketName(name string) error {
	_, addrErr := netip.ParseAddr(name)
	switch {
	case !bucketName.MatchString(name), strings.Contains(name, ".."), strings.Contains(name, ".-"), strings.Contains(name, "-."),
		addrErr == nil, reservedBuckets[name]:
		return ErrInvalidBucketName
	}
	for _, s := range [...]string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, s) {
			return ErrInvalidBucketName
		}
	}
	for _, s := range [...]string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, s) {
			return ErrInvalidBucketName
		}
	}
	return nil
}

// Bucket gives a bucket: ErrNoBucket.
func (s *Store) Bucket(_ context.Context, name string) (Bucket, error) {
	return getBucket(s.catalog, name)
}

// Buckets lists all buckets by name.
func (s *Store) Buckets(ctx context.Context) ([]Bucket, error) {
	var out []Bucket
	prefix := space(spaceBucket)
	err := s.scan(ctx, prefix, catalog.PrefixEnd(prefix), func(k, v []byte) (bool, error) {
		b, err := decodeBucket(v, string(k[len(prefix):]))
		out = append(out, b)
		return true, err
	})
	return out, err
}

// CreateBucket makes a bucket: ErrInvalidBucketName, ErrBucketExists (with the existing one), ErrFull.
func (s *Store) CreateBucket(ctx context.Context, name string, st BucketSettings, o Origin) (Bucket, error) {
	if err := CheckBucketName(name); err != nil {
		return Bucket{}, err
	}
	err := s.putBucket(ctx, Bucket{Name: name}, st, o, func(tx *txn) error {
		_, err := getBucket(tx, name)
		if err == nil {
			return ErrBucketExists
		}
		if errors.Is(err, ErrNoBucket) {
			return nil
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrBucketExists) {
		return Bucket{}, err
	}
	b, lookErr := getBucket(s.catalog, name)
	return b, firstError(err, lookErr)
}

// UpdateBucket changes a bucket's settings: ErrNoBucket, ErrFull.
func (s *Store) UpdateBucket(ctx context.Context, name string, st BucketSettings, o Origin) (Bucket, error) {
	b, err := getBucket(s.catalog, name)
	if err != nil {
		return Bucket{}, err
	}
	if err := s.putBucket(ctx, b, st, o, func(tx *txn) error { return checkBucket(tx, b) }); err != nil {
		return Bucket{}, err
	}
	return getBucket(s.catalog, name)
}

func (s *Store) putBucket(ctx context.Context, b Bucket, st BucketSettings, o Origin, check func(*txn) error) error {
	settings, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("encode bucket settings: %w", err)
	}
	h := &segment.Header{Type: segment.TypeBucket, Fields: originFields(b, "", &o)}
	h.Name = segment.ControlName(segment.TypeBucket, b.Name)
	h.Fields.Settings = settings
	return s.submitRecord(ctx, h, check, false)
}

// submitRecord commits one record without a payload.
func (s *Store) submitRecord(ctx context.Context, h *segment.Header, check func(*txn) error, frees bool) error {
	r, err := newRecord(h, nil)
	if err != nil {
		return err
	}
	return s.submit(ctx, &op{records: []*record{r}, check: check, frees: frees})
}

// DeleteBucket deletes an empty bucket; uploads in progress are aborted: ErrNoBucket, ErrBucketNotEmpty.
func (s *Store) DeleteBucket(ctx context.Context, name string, o Origin) error {
	b, err := getBucket(s.catalog, name)
	if err != nil {
		return err
	}
	h := &segment.Header{Type: segment.TypeBucketDelete, Name: segment.ControlName(segment.TypeBucketDelete, name), Fields: originFields(b, "", &o)}
	check := func(tx *txn) error {
		if err := checkBucket(tx, b); err != nil {
			return err
		}
		prefix := inBucket(spaceObject, b.ID)
		err := catalog.Scan(tx, prefix, catalog.PrefixEnd(prefix), func(_, _ []byte) bool {
			prefix = nil
			return false
		})
		if prefix == nil {
			return ErrBucketNotEmpty
		}
		return err
	}
	if err := s.abortAll(ctx, b, o); err != nil {
		return err
	}
	return s.submitRecord(ctx, h, check, true)
}

// abortAll aborts the uploads of a bucket if it holds nothing else.
func (s *Store) abortAll(ctx context.Context, b Bucket, o Origin) error {
	page, err := s.List(ctx, &List{Bucket: b.Name, Max: 1})
	if err != nil {
		return err
	}
	if len(page.Objects) > 0 {
		return ErrBucketNotEmpty
	}
	for {
		open, err := s.Uploads(ctx, &ListUploads{Bucket: b.Name, Max: MaxPage})
		if err != nil || len(open.Uploads) == 0 {
			return err
		}
		for _, u := range open.Uploads {
			if err := s.Abort(ctx, u.Key, u.ID, o); err != nil && !errors.Is(err, ErrNoUpload) {
				return err
			}
		}
	}
}
