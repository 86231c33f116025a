package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// wadoSource lists a study or a series by QIDO-RS and gets its instances by WADO-RS.
type wadoSource struct {
	remote                *remote
	bucket, study, series string
}

// instancePage is how many instances are asked for at once, and maxPage bounds the answer.
const (
	instancePage = 5000
	maxPage      = 256 << 20
)

// dicomJSON is one result of a query: the attributes that are needed here, all of them UIDs.
type dicomJSON map[string]struct {
	Value []json.RawMessage `json:"Value"`
}

func (d dicomJSON) uid(tag string) string {
	var s string
	if v := d[tag].Value; len(v) > 0 {
		_ = json.Unmarshal(v[0], &s)
	}
	return s
}

// Attributes of a result.
const (
	tagStudy    = "0020000D"
	tagSeries   = "0020000E"
	tagInstance = "00080018"
)

func (s *wadoSource) service() string {
	if s.bucket == "" {
		return "/dicomweb"
	}
	return "/dicomweb/" + url.PathEscape(s.bucket)
}

func (s *wadoSource) list(ctx context.Context, fn func(item) error) error {
	if s.series == "" {
		return s.instances(ctx, "/studies/"+url.PathEscape(s.study), fn)
	}
	var rows []dicomJSON
	err := s.remote.getJSON(ctx, s.service()+"/series?includefield="+tagStudy+"&SeriesInstanceUID="+url.QueryEscape(s.series), maxPage, &rows)
	if err != nil {
		return fmt.Errorf("look for the series: %w", err)
	}
	for _, row := range rows { // more than one only if two studies have a series of this UID
		if row.uid(tagSeries) != s.series {
			continue
		}
		if err := s.instances(ctx, "/studies/"+url.PathEscape(row.uid(tagStudy))+"/series/"+url.PathEscape(s.series), fn); err != nil {
			return err
		}
	}
	return nil
}

func (s *wadoSource) instances(ctx context.Context, path string, fn func(item) error) error {
	for offset := 0; ; {
		var rows []dicomJSON
		q := fmt.Sprintf("/instances?includefield=%s,%s&limit=%d&offset=%d", tagStudy, tagSeries, instancePage, offset)
		if err := s.remote.getJSON(ctx, s.service()+path+q, maxPage, &rows); err != nil {
			return fmt.Errorf("list instances: %w", err)
		}
		for _, row := range rows {
			it, err := s.item(row)
			if err != nil {
				return err
			}
			if err := fn(it); err != nil {
				return err
			}
		}
		if len(rows) < instancePage {
			return nil
		}
		offset += len(rows)
	}
}

func (s *wadoSource) item(row dicomJSON) (item, error) {
	study, series, sop := row.uid(tagStudy), row.uid(tagSeries), row.uid(tagInstance)
	if study == "" || series == "" || sop == "" {
		return item{}, errors.New("list instances: an answer without UIDs")
	}
	at := s.service() + "/studies/" + url.PathEscape(study) + "/series/" + url.PathEscape(series) + "/instances/" + url.PathEscape(sop)
	return item{
		name: safeName(study + "/" + series + "/" + sop + ".dcm"), size: -1,
		open: func(ctx context.Context, head bool) (*http.Response, error) {
			return s.remote.get(ctx, at, "application/dicom; transfer-syntax=*", head)
		},
	}, nil
}

// s3Source lists and gets the objects below a prefix by S3.
type s3Source struct {
	client         *minio.Client
	bucket, prefix string
}

func newS3Source(r *remote, bucket, prefix string) (*s3Source, error) {
	opts := &minio.Options{
		Secure: r.base.Scheme == "https", Region: "us-east-1", Transport: r.client.Transport, BucketLookup: minio.BucketLookupPath,
		Creds: credentials.NewStaticV4(r.cred.ID, r.cred.Secret, ""),
	}
	c, err := minio.New(r.base.Host, opts)
	if err != nil {
		return nil, err
	}
	return &s3Source{c, bucket, prefix}, nil
}

func (s *s3Source) list(ctx context.Context, fn func(item) error) error {
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, Recursive: true}) {
		if o.Err != nil {
			return fmt.Errorf("list objects: %w", o.Err)
		}
		it := item{name: safeName(o.Key), size: o.Size}
		it.open = func(ctx context.Context, _ bool) (*http.Response, error) {
			core := minio.Core{Client: s.client}
			body, info, header, err := core.GetObject(ctx, s.bucket, o.Key, minio.GetObjectOptions{})
			if err != nil {
				return nil, s3Error(err)
			}
			return &http.Response{Body: body, Header: header, ContentLength: info.Size}, nil
		}
		if tag := strings.Trim(o.ETag, `"`); len(tag) == 32 {
			it.md5 = tag
		}
		if err := fn(it); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func s3Error(err error) error {
	var resp minio.ErrorResponse
	if errors.As(err, &resp) && resp.StatusCode >= 400 {
		return &statusError{resp.StatusCode, resp.Code}
	}
	return err
}
