package s3

import (
	"bytes"
	"strconv"
	"strings"

	"gantry/s3/checksum"
	"gantry/store"
)

// parseCreateBucket checks a CreateBucketConfiguration. Any location is this site.
func parseCreateBucket(raw []byte) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	x, err := readRoot(raw, "CreateBucketConfiguration")
	if err != nil {
		return err
	}
	err = x.each(func(name string) error {
		if name != "LocationConstraint" {
			return errNotImplemented("Element", name)
		}
		_, err := x.text()
		return err
	})
	if err != nil {
		return err
	}
	return x.end()
}

// deletion is one object of a DeleteObjects request.
type deletion struct {
	key, version string
	condition    store.Condition
}

func parseDelete(raw []byte) (list []deletion, quiet bool, err error) {
	x, err := readRoot(raw, "Delete")
	if err != nil {
		return nil, false, err
	}
	err = x.each(func(name string) error {
		switch name {
		case "Quiet":
			v, err := x.text()
			quiet = v == "true" || v == "1"
			return err
		case "Object":
			if len(list) == maxDeletedKeys {
				return errXML()
			}
			d, err := x.deletion()
			list = append(list, d)
			return err
		}
		return errXML()
	})
	if err == nil {
		err = x.end()
	}
	if err == nil && len(list) == 0 {
		err = errXML()
	}
	return list, quiet, err
}

func (x *xmlReader) deletion() (d deletion, err error) {
	var modified, size string
	err = x.each(func(name string) error {
		var err error
		switch name {
		case "Key":
			d.key, err = x.text()
		case "VersionId":
			d.version, err = x.text()
		case "ETag":
			d.condition.IfMatch, err = x.text()
			d.condition.IfMatch = unquote(d.condition.IfMatch)
		case "LastModifiedTime":
			modified, err = x.text()
		case "Size":
			size, err = x.text()
		default:
			err = errXML()
		}
		return err
	})
	if err == nil && d.key == "" {
		err = errXML()
	}
	if err == nil && parseDeleteCondition(&d.condition, modified, size) != nil {
		err = errXML()
	}
	return d, err
}

func parseComplete(raw []byte) ([]store.CompletePart, error) {
	x, err := readRoot(raw, "CompleteMultipartUpload")
	if err != nil {
		return nil, err
	}
	var parts []store.CompletePart
	err = x.each(func(name string) error {
		if name != "Part" || len(parts) == store.MaxParts {
			return errXML()
		}
		p, err := x.part()
		parts = append(parts, p)
		return err
	})
	if err == nil {
		err = x.end()
	}
	if err == nil && len(parts) == 0 {
		err = errXML()
	}
	return parts, err
}

func (x *xmlReader) part() (p store.CompletePart, err error) {
	err = x.each(func(name string) error {
		v, err := x.text()
		if err != nil {
			return err
		}
		v = strings.TrimSpace(v)
		switch name {
		case "PartNumber":
			if p.Number, err = strconv.Atoi(v); err != nil {
				return errXML()
			}
		case "ETag":
			p.ETag = unquote(v)
		default:
			a, ok := checksum.ByElement(name)
			if !ok {
				return errXML()
			}
			p.Checksums = append(p.Checksums, store.Checksum{Algorithm: a.String(), Value: v})
		}
		return nil
	})
	if err == nil && (p.ETag == "" || p.Number < 1 || p.Number > store.MaxParts) {
		err = errXML()
	}
	return p, err
}
