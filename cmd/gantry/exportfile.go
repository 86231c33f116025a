package main

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"syscall"

	"gantry/store/segment"
)

// safeName makes a key the name of a file below a directory: the one that tar would give it, without the bucket.
func safeName(key string) string { return segment.MemberName("b", key)[len("b/"):] }

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// fetchTries is how often an object is asked for before it is given up.
const fetchTries = 3

// fetch writes one object to its file, unless it is there.
func (ex *exporter) fetch(ctx context.Context, it item) (kind string, n int64, err error) {
	if info, err := ex.dir.Stat(it.name); err == nil && info.Mode().IsRegular() {
		size, err := it.length(ctx)
		if err != nil {
			return failed, 0, err
		}
		if size == info.Size() {
			return present, 0, nil
		}
	}
	for try := 1; ; try++ {
		n, err = ex.write(ctx, it)
		if err == nil {
			return written, n, nil
		}
		var status *statusError
		if local := (*fs.PathError)(nil); errors.As(err, &local) || errors.As(err, &status) && status.status < 500 {
			return failed, 0, err
		}
		if try == fetchTries || ctx.Err() != nil {
			return failed, 0, err
		}
	}
}

// length asks for an object's size, if it is not known.
func (it *item) length(ctx context.Context) (int64, error) {
	if it.size >= 0 {
		return it.size, nil
	}
	resp, err := it.open(ctx, true)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.ContentLength, nil
}

// write gets the object into a temporary file beside its place, and moves it there when it is whole and on disk.
func (ex *exporter) write(ctx context.Context, it item) (n int64, err error) {
	resp, err := it.open(ctx, false)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	dir := path.Dir(it.name)
	if err := ex.dir.MkdirAll(dir, 0o777); err != nil {
		return 0, err
	}
	temp := path.Join(dir, ".gantry-"+rand.Text())
	f, err := ex.dir.Create(temp)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = ex.dir.Remove(temp)
		}
	}()
	sum := md5.New()
	dst := io.Writer(f)
	if it.md5 != "" {
		dst = io.MultiWriter(f, sum)
	}
	if n, err = io.Copy(dst, resp.Body); err != nil {
		return 0, brokenOff(err)
	}
	switch {
	case resp.ContentLength >= 0 && n != resp.ContentLength:
		return 0, fmt.Errorf("%d of %d bytes came", n, resp.ContentLength)
	case it.md5 != "" && hex.EncodeToString(sum.Sum(nil)) != it.md5:
		return 0, errors.New("the bytes that came are not those that were stored")
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	return n, ex.dir.Rename(temp, it.name)
}

// brokenOff says what it means when a server ends in the middle: it does so rather than send damaged bytes.
func brokenOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("the server broke off, as it does at damaged data: %w", err)
	}
	return err
}

// get makes a request, and an error of every answer but 200.
func (r *remote) get(ctx context.Context, path, accept string, head bool) (*http.Response, error) {
	method := http.MethodGet
	if head {
		method = http.MethodHead
	}
	req, err := r.request(ctx, method, path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, errorOf(resp)
	}
	return resp, nil
}
