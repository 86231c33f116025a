package clienttest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

var (
	seed  = flag.Uint64("seed", 0, "seed of the kill test's load; 0 takes one from the clock")
	kills = flag.Int("kills", 60, "how often the kill test kills the server")
)

// state is what may be under a key: a numbered content, or nothing.
type state struct {
	key     string
	version int  // number of the content; 0: no object
	size    int  // bytes
	parts   bool // put in parts
}

// body is the content of a state: it names itself, so that one under the wrong key is noticed.
func (s state) body() []byte {
	if s.version == 0 {
		return nil
	}
	var h uint64 = 14695981039346656037
	for _, c := range []byte(s.key) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return content(s.size, h+uint64(s.version))
}

// tracked is a key with one writer: what was acknowledged last, and what was under way when the server died.
type tracked struct {
	acked   state
	pending *state // outcome unknown
}

// loadWorker writes to keys of its own until the server dies.
type loadWorker struct {
	id     int
	rng    *rand.Rand
	client *minio.Client
	s      *server
	bucket string
	keys   map[string]*tracked
	made   int        // instances made so far
	stowed []instance // acknowledged
	trying *instance  // outcome unknown
	acks   int
	err    error // a refusal that isn't the server's death
}

// TestKilledUnderLoad kills the server in the middle of writes, many times, on the same data: whatever was acknowledged is
// there and intact after each restart, and nothing half-written is visible.
func TestKilledUnderLoad(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", *seed)
	s := start(t, options{})
	bucket := archive(t, s)
	var workers []*loadWorker
	for i := range 6 {
		workers = append(workers, &loadWorker{id: i, rng: rand.New(rand.NewPCG(*seed, uint64(i))), s: s, bucket: bucket, keys: map[string]*tracked{}})
	}
	slowest, rng := time.Duration(0), rand.New(rand.NewPCG(*seed, 1000))
	for round := range *kills {
		loadUntilKilled(t, s, workers, time.Duration(20+rng.IntN(400))*time.Millisecond)
		began := time.Now()
		s.run()
		slowest = max(slowest, time.Since(began))
		for _, w := range workers {
			w.settle(t, fmt.Sprintf("after kill %d", round+1))
		}
	}
	acks := 0
	for _, w := range workers {
		acks += w.acks
		w.everything(t)
	}
	onlyTracked(t, s, workers)
	t.Logf("%d kills, %d acknowledged writes, slowest start %v", *kills, acks, slowest)
	if acks < 10**kills {
		t.Errorf("only %d writes acknowledged: the load was too light to show anything", acks)
	}
	if slowest > 10*time.Second {
		t.Errorf("a start took %v", slowest)
	}
	s.stop()
	t.Log(s.command(t, "verify"))
}

// loadUntilKilled runs the workers, kills the server after a while and waits for them.
func loadUntilKilled(t *testing.T, s *server, workers []*loadWorker, life time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for _, w := range workers {
		w.client = minioClient(t, s)
		wg.Go(func() { w.work(ctx) })
	}
	time.Sleep(life) // the moment of death is the test's random variable
	s.kill()
	cancel()
	wg.Wait()
	for _, w := range workers {
		if w.err != nil {
			t.Fatalf("worker %d: refused while the server lived: %v", w.id, w.err)
		}
	}
}

func (w *loadWorker) work(ctx context.Context) {
	for ctx.Err() == nil {
		step := w.put
		switch n := w.rng.IntN(20); {
		case n < 3:
			step = w.remove
		case n < 8:
			step = w.stow
		}
		if !step(ctx) {
			return
		}
		w.acks++
	}
}

// died tells the server's death from a refusal; a refusal is kept.
func (w *loadWorker) died(err error) bool {
	if r := minio.ToErrorResponse(err); err != nil && r.Code != "" && r.StatusCode != 0 {
		w.err = err
	}
	return err != nil
}

func (w *loadWorker) pick() *tracked {
	key := fmt.Sprintf("w%d/%02d", w.id, w.rng.IntN(40))
	k := w.keys[key]
	if k == nil {
		k = &tracked{acked: state{key: key}}
		w.keys[key] = k
	}
	return k
}

// next is the number for another content of the key: higher than any that it may hold.
func (k *tracked) next() int { return k.acked.version + 1000 - k.acked.version%1000 }

func (w *loadWorker) put(ctx context.Context) bool {
	k := w.pick()
	to := state{key: k.acked.key, version: k.next() + w.rng.IntN(999), size: w.rng.IntN(200_000)}
	switch w.rng.IntN(60) {
	case 0:
		to.size = 17*mib + w.rng.IntN(1000) // extents
	case 1:
		to.size, to.parts = 11*mib, true
	case 2:
		to.size = 0
	}
	k.pending = &to
	body := to.body()
	o := minio.PutObjectOptions{DisableMultipart: !to.parts}
	if to.parts {
		o.PartSize = 5 * mib
	}
	if _, err := w.client.PutObject(ctx, w.bucket, to.key, bytes.NewReader(body), int64(len(body)), o); w.died(err) {
		return false
	}
	k.acked, k.pending = to, nil
	return true
}

func (w *loadWorker) remove(ctx context.Context) bool {
	k := w.pick()
	k.pending = &state{key: k.acked.key}
	if err := w.client.RemoveObject(ctx, w.bucket, k.acked.key, minio.RemoveObjectOptions{}); w.died(err) {
		return false
	}
	k.acked, k.pending = *k.pending, nil
	return true
}

func (w *loadWorker) stow(ctx context.Context) bool {
	i := newInstance(100+w.id, 1+w.made/50, w.made, 32+w.rng.IntN(300))
	w.made++
	w.trying = &i
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.s.dicomweb+"/studies", bytes.NewReader(i.encode()))
	if err != nil {
		w.err = err
		return false
	}
	req.SetBasicAuth(w.s.keyID, w.s.secret)
	req.Header.Set("Content-Type", "application/dicom")
	resp, err := w.s.http().Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.err = fmt.Errorf("stow: %s", resp.Status)
		return false
	}
	w.stowed, w.trying = append(w.stowed, i), nil
	return true
}

// settle finds out how what was under way ended, and checks that and some of the rest.
func (w *loadWorker) settle(t *testing.T, when string) {
	t.Helper()
	w.client = minioClient(t, w.s)
	checked := 0
	for _, k := range w.keys {
		if k.pending == nil && checked >= 5 {
			continue
		}
		checked++
		w.check(t, when, k)
	}
	if w.trying != nil {
		if found := w.s.qido(t, "/instances", url.Values{"SOPInstanceUID": {w.trying.sop}}); len(found) == 1 {
			w.stowed = append(w.stowed, *w.trying)
			w.checkInstance(t, when, *w.trying)
		}
		w.trying = nil
	}
	if n := len(w.stowed); n > 0 {
		w.checkInstance(t, when, w.stowed[n-1])
	}
}

// check reads a key: it must hold what was acknowledged, or what was under way, whole.
func (w *loadWorker) check(t *testing.T, when string, k *tracked) {
	t.Helper()
	got, exists := w.read(t, k.acked.key)
	matches := func(s state) bool { return exists == (s.version != 0) && bytes.Equal(got, s.body()) }
	switch {
	case matches(k.acked):
	case k.pending != nil && matches(*k.pending):
		k.acked = *k.pending
	default:
		first := uint64(0)
		if len(got) >= 8 {
			first = binary.LittleEndian.Uint64(got)
		}
		t.Fatalf("%s: %s: acknowledged %+v, under way %+v; found: %v, %d bytes, beginning with %x", when, k.acked.key, k.acked, k.pending, exists, len(got), first)
	}
	k.pending = nil // it must stay as it was seen
}

func (w *loadWorker) read(t *testing.T, key string) (body []byte, exists bool) {
	t.Helper()
	o, err := w.client.GetObject(t.Context(), w.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	body, err = io.ReadAll(o)
	if code(err) == "NoSuchKey" {
		return nil, false
	}
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return body, true
}

func (w *loadWorker) checkInstance(t *testing.T, when string, i instance) {
	t.Helper()
	got := w.s.wado(t, i.path())
	equal(t, when+": instances", len(got), 1)
	same(t, when+": instance", got[0], i.encode())
}

// everything checks all that the worker ever had acknowledged.
func (w *loadWorker) everything(t *testing.T) {
	t.Helper()
	for _, k := range w.keys {
		w.check(t, "at the end", k)
	}
	for _, i := range w.stowed {
		w.checkInstance(t, "at the end", i)
	}
	equal(t, "instances found", len(w.s.qido(t, "/instances", url.Values{"StudyInstanceUID": {fmt.Sprintf("%s.%d", uidRoot, 100+w.id)}, "limit": {"100000"}})), len(w.stowed))
}

// onlyTracked lists the bucket: each object is one that a worker knows, with its size.
func onlyTracked(t *testing.T, s *server, workers []*loadWorker) {
	t.Helper()
	want := map[string]int{}
	for _, w := range workers {
		for key, k := range w.keys {
			if k.acked.version != 0 {
				want[key] = k.acked.size
			}
		}
		for _, i := range w.stowed {
			want[i.key()] = len(i.encode())
		}
	}
	listed := 0
	for o := range minioClient(t, s).ListObjects(t.Context(), workers[0].bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		size, ok := want[o.Key]
		if !ok || int64(size) != o.Size {
			t.Errorf("listed: %s of %d bytes; known %v, %d bytes", o.Key, o.Size, ok, size)
		}
		listed++
	}
	equal(t, "objects listed", listed, len(want))
}

// TestLargeObject puts 5 GiB in parts and reads it back.
func TestLargeObject(t *testing.T) {
	if os.Getenv("GANTRY_LONG") == "" {
		t.Skip("5 GiB take a while: GANTRY_LONG=1, or make test-long")
	}
	const size = 5 << 30
	s := start(t, options{})
	c, bucket := minioClient(t, s), "large"
	if err := c.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	source := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{5}), size) }
	info, err := c.PutObject(t.Context(), bucket, "5GiB", source(), size, minio.PutObjectOptions{PartSize: 64 * mib})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(info.ETag, "-80") {
		t.Errorf("ETag %s, want one of 80 parts", info.ETag)
	}
	o, err := c.GetObject(t.Context(), bucket, "5GiB", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	want, got, read := make([]byte, mib), make([]byte, mib), source()
	for at := 0; at < size; at += mib {
		if _, err := io.ReadFull(read, want); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(o, got); err != nil {
			t.Fatalf("at %d: %v", at, err)
		}
		same(t, fmt.Sprintf("MiB %d", at/mib), got, want)
	}
	s.unharmed(t, c, bucket)
	s.stop()
	s.command(t, "verify")
}
