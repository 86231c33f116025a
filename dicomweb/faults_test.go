package dicomweb_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gantry/dicomweb"
	"gantry/dicomweb/part10"
	"gantry/store"
)

// faulty is a store that fails where a test wants it to.
type faulty struct {
	*store.Store
	begin func(n int) error // called for the n-th instance; nil lets it through
	del   error
	n     int
}

func (f *faulty) Begin(ctx context.Context, p *store.Put) (*store.Pending, error) {
	f.n++
	if f.begin != nil {
		if err := f.begin(f.n); err != nil {
			return nil, err // without reading the body
		}
	}
	return f.Store.Begin(ctx, p)
}

func (f *faulty) DeleteInstances(ctx context.Context, bucket string, id store.Identity, o store.Origin) (int, error) {
	if f.del != nil {
		return 0, f.del
	}
	return f.Store.DeleteInstances(ctx, bucket, id, o)
}

// startFaulty runs a gateway over a faulty store.
func startFaulty(t testing.TB) (*site, *faulty) {
	t.Helper()
	f := &faulty{}
	s := start(t, store.Refuse, func(c *dicomweb.Config) {
		f.Store, _ = c.Objects.(*store.Store)
		c.Objects = f
	})
	return s, f
}

func TestStowWhenTheStoreRefuses(t *testing.T) {
	s, f := startFaulty(t)
	good, other := corpusFile(t, control), corpusFile(t, "hostile/conflict_sop_A.dcm")
	known := store.Identity{SOP: "1.2.3", SOPClass: "1.2.4"}
	for _, c := range []struct {
		name   string
		err    error
		status int
		reason int
	}{
		{"disk full", store.ErrFull, http.StatusInsufficientStorage, 0xA700},
		{"busy", store.ErrBusy, http.StatusServiceUnavailable, 0xA700},
		{"broken", store.ErrBroken, http.StatusServiceUnavailable, 0xA700},
		{"too large", store.ErrTooLarge, http.StatusRequestEntityTooLarge, 0xA700},
		{"something else", io.ErrClosedPipe, http.StatusInternalServerError, 0x0110},
	} {
		f.begin = func(int) error { return fmt.Errorf("put: %w", c.err) }
		a := s.stow("/studies", good)
		if got := a.module(t).reasons("0008119A"); a.StatusCode != c.status || len(got) != 1 || got[0] != c.reason {
			t.Errorf("%s: %d %s", c.name, a.StatusCode, a.body)
		}
		if (c.status == http.StatusServiceUnavailable) != (a.Header.Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After %q", c.name, a.Header.Get("Retry-After"))
		}
		f.begin = func(int) error { return &store.InstanceError{Identity: known, Err: c.err} }
		a = s.stow("/studies", good)
		if got := a.module(t).reasons("00081198"); len(got) != 1 || got[0] != c.reason || !strings.Contains(string(a.body), `"1.2.3"`) {
			t.Errorf("%s, of a known instance: %d %s", c.name, a.StatusCode, a.body)
		}
	}
	f.n = 0
	f.begin = func(n int) error {
		if n == 1 {
			return store.ErrFull
		}
		return nil
	}
	if a := s.stow("/studies", good, other); a.StatusCode != http.StatusInsufficientStorage || len(a.module(t)["00081199"].Value) != 1 {
		t.Errorf("the second of two stored: %d %s", a.StatusCode, a.body)
	}
}

func TestDeleteUnderRetention(t *testing.T) {
	s, f := startFaulty(t)
	s.mustStow(control)
	f.del = store.ErrRetained
	if a := s.do("DELETE", s.query("/instances")[0].place(), nil); a.StatusCode != http.StatusConflict {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// TestUploadCutShort sends less than was announced, over a raw connection.
func TestUploadCutShort(t *testing.T) {
	s := start(t, store.Refuse, nil)
	body, contentType := multipartBody(corpusFile(t, control))
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, sent := range []int{len(body) - 1, len(body) / 2, 50} {
		c, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(c, "POST /dicomweb/studies HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", contentType, len(body))
		if _, err := c.Write(body[:sent]); err != nil {
			t.Fatal(err)
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		_, _ = io.Copy(io.Discard, c) // until the server has dealt with it
		_ = c.Close()
	}
	// All of the content was there in the first case, with its closing boundary but for the last line end.
	if n := len(s.query("/instances")); n > 1 {
		t.Errorf("%d instances stored", n)
	}
	if a := s.get("/studies"); a.StatusCode != 200 {
		t.Errorf("server after that: %d", a.StatusCode)
	}
}

func TestDamageIsNeverServed(t *testing.T) {
	needCorpus(t)
	dir := t.TempDir()
	s := startIn(t, dir, store.Refuse, nil)
	s.mustStow(control)
	d := s.query("/instances")[0]
	file := corpusFile(t, control)
	damage(t, dir, file[len(file)-64:])
	for _, path := range []string{d.place(), d.place() + "/frames/1", d.place() + "/metadata"} {
		rs, err := http.Get(s.url + path)
		if err != nil {
			continue // cut before the header was out
		}
		b, err := io.ReadAll(rs.Body)
		_ = rs.Body.Close()
		if err == nil && rs.StatusCode == http.StatusOK {
			t.Errorf("%s: %d bytes of a damaged object served", path, len(b))
		}
	}
	if len(s.query("/instances")) != 1 {
		t.Error("queries fail, too")
	}
}

// damage flips a bit of what is found in a segment.
func damage(t *testing.T, dir string, where []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		i := bytes.LastIndex(b, where)
		if i < 0 {
			return nil
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt([]byte{where[0] ^ 1}, int64(i))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// overtaken stores something else at the moment when an instance that was looked up is opened, or was opened.
type overtaken struct {
	*store.Store
	before atomic.Pointer[func()]
}

func (o *overtaken) overtake() {
	if fn := o.before.Swap(nil); fn != nil {
		(*fn)()
	}
}

func (o *overtaken) Get(ctx context.Context, k store.Key) (*store.Object, error) {
	o.overtake()
	return o.Store.Get(ctx, k)
}

func (o *overtaken) OpenInstance(ctx context.Context, bucket, sop string) (*store.Object, error) {
	defer o.overtake()
	return o.Store.OpenInstance(ctx, bucket, sop)
}

// TestReplacedWhileItIsRead: what takes an instance's place between look-up and reading is never given under its name. What is open
// already is given as it was.
func TestReplacedWhileItIsRead(t *testing.T) {
	objects := &overtaken{}
	s := start(t, store.Replace, func(c *dicomweb.Config) {
		objects.Store, _ = c.Objects.(*store.Store)
		c.Objects = objects
	})
	first, second := corpusFile(t, "valid/deb-python3-pydicom__CT_small.dcm"), corpusFile(t, "valid/deb-python3-pydicom__MR_small.dcm")
	in, err := part10.Index(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		_, err := s.store.Put(context.Background(), &store.Put{Key: store.Key{Bucket: "dicom", Name: "k"}, Body: bytes.NewReader(b), Size: int64(len(b))})
		if err != nil {
			t.Error(err)
		}
	}
	// get gives a body without what differs from one answer to the next; nil if the connection was cut.
	get := func(path, accept string) (status int, body []byte) {
		rq, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		rq.Header.Set("Accept", accept)
		rs, err := transport.RoundTrip(rq)
		if err != nil {
			return 0, nil // before the first byte
		}
		defer rs.Body.Close()
		if body, err = io.ReadAll(rs.Body); err != nil {
			return 0, nil
		}
		if _, params, err := mime.ParseMediaType(rs.Header.Get("Content-Type")); err == nil && params["boundary"] != "" {
			body = bytes.ReplaceAll(body, []byte(params["boundary"]), []byte("boundary"))
		}
		return rs.StatusCode, body
	}
	series := "/studies/" + in.StudyUID + "/series/" + in.SeriesUID
	instance := series + "/instances/" + in.SOPUID
	for _, c := range []struct {
		path, accept string
		opened       bool // at once, so that it is given as it was
	}{
		{instance, "application/dicom", true}, {instance, "multipart/related", true}, {series, "multipart/related", false},
		{instance + "/frames/1", "*/*", true}, {instance + "/bulkdata/7FE00010", "*/*", true},
		{instance + "/metadata", "application/dicom+json", false}, {series + "/metadata", "application/dicom+json", false},
	} {
		put(first)
		var want []byte
		if c.opened {
			_, want = get(c.path, c.accept)
		}
		take := func() { put(second) }
		objects.before.Store(&take)
		status, body := get(c.path, c.accept)
		name := strings.TrimPrefix(c.path, series) + " as " + c.accept
		switch {
		case c.opened && (status != http.StatusOK || !bytes.Equal(body, want)):
			t.Errorf("%s: %d, %d bytes, want the %d of what was opened", name, status, len(body), len(want))
		case !c.opened && status != 0 && status != http.StatusServiceUnavailable && status != http.StatusNotFound:
			// 404 comes where the transport asks again on its own after a connection that was cut.
			t.Errorf("%s: %d", name, status)
		}
		if objects.before.Load() != nil {
			t.Errorf("%s opened nothing", name)
		}
	}
}
