package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"gantry/console"
	"gantry/dicomweb"
	"gantry/dicomweb/part10"
	"gantry/internal/auth"
	"gantry/store"
)

// sink is where imported files go.
type sink interface {
	// put stores one file and tells what became of it. An error concerns more than this file, and ends the import. It may
	// be called by several goroutines.
	put(ctx context.Context, f *os.File, size int64) (outcome, error)
	// identity tells the store behind it, without the bucket.
	identity(ctx context.Context) (storeID, error)
	close() error
}

// storeSink stores into a data directory on which no gantry runs.
type storeSink struct {
	store  *store.Store
	bucket string
	origin store.Origin
}

func newStoreSink(ctx context.Context, c *Config, bucket string) (_ *storeSink, err error) {
	st, err := openStore(ctx, c, slog.New(slog.DiscardHandler), nil, nil)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
		}
	}()
	owner, err := localOwner(c)
	if err != nil {
		return nil, err
	}
	if err := makeArchives(ctx, c, st, owner); err != nil {
		return nil, err
	}
	if bucket == "" {
		bucket = c.Archive
	}
	b, err := st.Bucket(ctx, bucket)
	if err != nil {
		return nil, usageError{fmt.Errorf("--bucket %s: %w", bucket, err)}
	}
	if !b.Settings.DICOM {
		return nil, usageError{fmt.Errorf("--bucket %s: not an archive", bucket)}
	}
	return &storeSink{store: st, bucket: bucket, origin: store.Origin{Owner: owner, Principal: owner, Door: "import"}}, nil
}

// localOwner is the id of the root key, as far as there is one: only a server makes and prints it.
func localOwner(c *Config) (string, error) {
	root, given, err := rootFromEnv()
	if given {
		return root.ID, err
	}
	if _, err := os.Stat(c.rootKeyFile()); err != nil {
		return "import", nil
	}
	root, _, err = auth.LoadOrCreateRoot(c.rootKeyFile())
	return root.ID, err
}

func (s *storeSink) identity(ctx context.Context) (storeID, error) {
	st, err := s.store.Stats(ctx)
	return storeID{log: st.LogID, end: uint64(st.End)}, err
}

func (s *storeSink) close() error { return s.store.Close() }

func (s *storeSink) put(ctx context.Context, f *os.File, size int64) (outcome, error) {
	body := &noticingReader{r: io.LimitReader(f, size)}
	res, err := s.store.Put(ctx, &store.Put{
		Key: store.Key{Bucket: s.bucket}, Body: body, Size: size, Origin: s.origin,
		Meta: store.Meta{System: map[string]string{"content-type": store.DICOMMimeType}}, Instance: &store.InstancePut{},
	})
	switch {
	case err == nil && res.Stored:
		return outcome{kind: stored}, nil
	case err == nil:
		return outcome{kind: known}, nil
	case body.err != nil:
		return outcome{unreadable, plainError(body.err)}, nil
	case errors.Is(err, store.ErrIncompleteBody):
		return outcome{unreadable, "the file became shorter while it was read"}, nil
	}
	return refusal(err)
}

// noticingReader remembers an error of reading, to tell it from one of storing.
type noticingReader struct {
	r   io.Reader
	err error
}

func (n *noticingReader) Read(p []byte) (int, error) {
	c, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return c, err
}

// prefixOffset is where "DICM" stands: a file that has it, and nothing behind it that can be read, is a broken DICOM file.
const prefixOffset = 128

// refusal tells what is wrong with the object from what is wrong with the store.
func refusal(err error) (outcome, error) {
	var bad *part10.RejectError
	switch {
	case errors.As(err, &bad) && bad.Reason == part10.NotDICOM && bad.Offset <= prefixOffset:
		return outcome{notDICOM, bad.Error()}, nil
	case errors.As(err, &bad) && bad.Reason == part10.MediaDirectory:
		return outcome{dicomdir, "table of contents of a medium"}, nil
	case errors.As(err, &bad):
		return outcome{refused, bad.Error()}, nil
	case errors.Is(err, store.ErrDuplicate), errors.Is(err, store.ErrTooLarge), errors.Is(err, store.ErrMetadataTooLarge):
		return outcome{refused, err.Error()}, nil
	}
	return outcome{}, err
}

// stowSink sends to a running gantry.
type stowSink struct {
	remote *remote
	path   string
}

func newStowSink(r *remote, bucket string) *stowSink {
	s := &stowSink{remote: r, path: "/dicomweb/studies"}
	if bucket != "" {
		s.path = "/dicomweb/" + url.PathEscape(bucket) + "/studies"
	}
	return s
}

func (s *stowSink) identity(ctx context.Context) (storeID, error) {
	var st console.Status
	if err := s.remote.getJSON(ctx, console.StatusPath, maxStatus, &st); err != nil {
		return storeID{}, fmt.Errorf("ask %s which store it is: %w", s.remote.base.Redacted(), err)
	}
	end, err := strconv.ParseUint(st.Log.EndLSN, 16, 64)
	if err != nil || st.Log.ID == "" {
		return storeID{}, errors.New("the server does not tell which store it is")
	}
	return storeID{log: st.Log.ID, end: end}, nil
}

func (s *stowSink) close() error {
	s.remote.client.CloseIdleConnections()
	return nil
}

// How often, and after how long a pause, a request is tried again.
const (
	maxTries   = 8
	firstPause = time.Second
	longPause  = 30 * time.Second
)

// put reads the file before it is sent: what is no DICOM object need not travel, and the reasons are the same as without a
// server. What the server can't do now is tried again.
func (s *stowSink) put(ctx context.Context, f *os.File, size int64) (outcome, error) {
	if _, err := dicomweb.Index(ctx, f, size); err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			return outcome{unreadable, plainError(err)}, nil
		}
		return refusal(err)
	}
	pause := firstPause
	for try := 1; ; try++ {
		o, retryAfter, err := s.send(ctx, f, size)
		if err == nil || retryAfter == 0 || try == maxTries || ctx.Err() != nil {
			return o, err
		}
		if info, statErr := f.Stat(); statErr == nil && info.Size() < size {
			return outcome{unreadable, "the file became shorter while it was read"}, nil
		}
		select {
		case <-time.After(max(retryAfter, pause)):
		case <-ctx.Done():
			return o, context.Cause(ctx)
		}
		pause = min(2*pause, longPause)
	}
}

// send makes one attempt. An error with a retryAfter is worth another one after that time.
func (s *stowSink) send(ctx context.Context, f *os.File, size int64) (o outcome, retryAfter time.Duration, err error) {
	req, err := s.remote.request(ctx, http.MethodPost, s.path, io.NewSectionReader(f, 0, size))
	if err != nil {
		return o, 0, err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", store.DICOMMimeType)
	req.Header.Set("Accept", "application/dicom+json")
	resp, err := s.remote.client.Do(req)
	if err != nil {
		return o, firstPause, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		_, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorText))
		if err != nil {
			return o, firstPause, err
		}
		return outcome{kind: stored}, 0, nil
	case http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusBadRequest:
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
		if err != nil {
			return o, firstPause, err
		}
		return outcome{refused, stowReason(b, resp.StatusCode)}, 0, nil
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		http.StatusTooManyRequests, http.StatusRequestTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return o, min(max(time.Duration(seconds)*time.Second, firstPause), longPause), errorOf(resp)
	case http.StatusInsufficientStorage:
		return o, 0, store.ErrFull
	}
	return o, 0, errorOf(resp)
}

// stowReason finds the reason in a response of PS3.18 10.5.3: FailureReason and ErrorComment of the one instance that was sent.
func stowReason(body []byte, status int) string {
	type element struct{ Value []json.RawMessage }
	var module map[string]element
	_ = json.Unmarshal(body, &module)
	for _, sequence := range []string{"00081198", "0008119A"} {
		for _, raw := range module[sequence].Value {
			var item map[string]element
			if json.Unmarshal(raw, &item) != nil {
				continue
			}
			var comment string
			var code int
			if v := item["00000902"].Value; len(v) > 0 {
				_ = json.Unmarshal(v[0], &comment)
			}
			if v := item["00081197"].Value; len(v) > 0 {
				_ = json.Unmarshal(v[0], &code)
			}
			return fmt.Sprintf("%s (%04XH)", comment, code)
		}
	}
	return fmt.Sprintf("the server answered %d %s", status, http.StatusText(status))
}
