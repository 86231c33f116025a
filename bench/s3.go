package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"syscall"
)

// objectParts returns the bytes of an S3 object: a stamp that makes it unique, then windows of shared noise, which no
// server can compress.
func (s *Session) objectParts(parts [][]byte, name uint64, size int64) [][]byte {
	parts = parts[:0]
	stamp := appendStamp(make([]byte, 0, stampSize), name)
	stamp = stamp[:min(int64(len(stamp)), size)]
	parts = append(parts, stamp)
	for left, i := size-int64(len(stamp)), uint64(0); left > 0; i++ {
		n := min(left, int64(len(s.noise))/2)
		from := int64(hash(name, i)%uint64(int64(len(s.noise))-n)) &^ 63
		parts = append(parts, s.noise[from:from+n])
		left -= n
	}
	return parts
}

func (s *Session) objectCRC(parts [][]byte) uint32 {
	var sum uint32
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// readKey and putKey name the objects that are read, and those that are only written.
func (s *Session) readKey(size int64, i int) string {
	return fmt.Sprintf("/%s/read/%016x/%d/%06d", s.target.Bucket, s.seed, size, i)
}

func (s *Session) putKey(i int64) string {
	return fmt.Sprintf("/%s/put/%016x/%02x/%08d", s.target.Bucket, s.seed, i%256, i)
}

func (s *Session) put(ctx context.Context, w *worker, key string, name uint64, size int64) (moved, error) {
	w.parts = s.objectParts(w.parts, name, size)
	resp, err := w.client.do(ctx, &request{
		method: "PUT", path: key, body: w.parts, header: "Content-Type: application/octet-stream\r\n",
	})
	if err != nil {
		return moved{}, err
	}
	return moved{1, size}, resp.want(200)
}

var errOtherBytes = errors.New("wrong bytes: as many as were stored, but others, or in another order")

func (s *Session) get(ctx context.Context, w *worker, key string, name uint64, size int64) (moved, error) {
	resp, err := w.client.do(ctx, &request{method: "GET", path: key, use: sumOnly})
	if err != nil {
		return moved{}, err
	}
	if err := resp.want(200); err != nil {
		return moved{}, err
	}
	w.parts = s.objectParts(w.parts, name, size)
	switch {
	case resp.size != size:
		return moved{}, fmt.Errorf("wrong bytes: %d of %d", resp.size, size)
	case resp.crc != s.objectCRC(w.parts):
		return moved{}, errOtherBytes
	}
	return moved{1, size}, nil
}

// makeBucket makes the session's bucket unless it is there: who may use a bucket may not always make one.
func (s *Session) makeBucket(ctx context.Context) error {
	c, err := s.newClient(true)
	if err != nil {
		return err
	}
	defer c.close()
	resp, err := c.do(ctx, &request{method: "HEAD", path: "/" + s.target.Bucket})
	if err == nil && resp.status == 200 {
		return nil
	}
	resp, err = c.do(ctx, &request{method: "PUT", path: "/" + s.target.Bucket})
	if err != nil {
		return jobError("make bucket", err)
	}
	return resp.want(200, 409)
}

// nameOf is the number from which an object's bytes follow.
func nameOf(kind, size int64, i uint64) uint64 { return hash(uint64(kind), uint64(size), i) }

const (
	nameRead = iota
	namePut
)

func prepareS3Put(ctx context.Context, s *Session, step *Step) (operation, error) {
	if err := s.makeBucket(ctx); err != nil {
		return nil, err
	}
	first := s.puts
	size := step.Size
	s.puts += 1 << 24 // more than any step writes
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		return s.put(ctx, w, s.putKey(first+n), nameOf(namePut, size, uint64(first+n)), size)
	}, nil
}

// ensureObjects stores the set that s3-get and s3-mixed read.
func (s *Session) ensureObjects(ctx context.Context, size int64, count int) error {
	if err := s.makeBucket(ctx); err != nil {
		return err
	}
	have := s.objects[size]
	if have >= count {
		return nil
	}
	err := s.fill(ctx, "objects", count-have, true, func(ctx context.Context, w *worker, n int64) (moved, error) {
		i := have + int(n)
		return s.put(ctx, w, s.readKey(size, i), nameOf(nameRead, size, uint64(i)), size)
	})
	if err == nil {
		s.objects[size] = count
	}
	return err
}

func (s *Session) getNth(ctx context.Context, w *worker, size int64, i int) (moved, error) {
	return s.get(ctx, w, s.readKey(size, i), nameOf(nameRead, size, uint64(i)), size)
}

func prepareS3Get(ctx context.Context, s *Session, step *Step) (operation, error) {
	size, count := step.Size, step.Objects
	if err := s.ensureObjects(ctx, size, count); err != nil {
		return nil, err
	}
	if step.DropCache { // then each object once, in an order that read-ahead cannot guess
		step.Count = int64(count)
		stride := coprime(count)
		return func(ctx context.Context, w *worker, n int64) (moved, error) {
			return s.getNth(ctx, w, size, int(n)*stride%count)
		}, nil
	}
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		return s.getNth(ctx, w, size, int(hash(s.seed, uint64(n))%uint64(count)))
	}, nil
}

// coprime returns a stride that visits all of n before it repeats.
func coprime(n int) int {
	for stride := n*5/8 + 1; ; stride++ {
		a, b := stride, n
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return stride
		}
	}
}

// prepareS3Mixed reads 70%, writes 25% and deletes 5%, what it wrote itself.
func prepareS3Mixed(ctx context.Context, s *Session, step *Step) (operation, error) {
	size, count := step.Size, step.Objects
	if err := s.ensureObjects(ctx, size, count); err != nil {
		return nil, err
	}
	first := s.puts
	s.puts += 1 << 24
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		switch n % 20 {
		case 1, 5, 9, 13, 17:
			return s.put(ctx, w, s.putKey(first+n), nameOf(namePut, size, uint64(first+n)), size)
		case 19:
			resp, err := w.client.do(ctx, &request{method: "DELETE", path: s.putKey(first + n - 18)})
			if err != nil {
				return moved{}, err
			}
			return moved{1, 0}, resp.want(204, 200)
		}
		return s.getNth(ctx, w, size, int(hash(s.seed, uint64(n))%uint64(count)))
	}, nil
}

const (
	listPage     = 1000
	listBodySize = 64
)

func (s *Session) listKey(i int) string { return fmt.Sprintf("list/%016x/%08d", s.seed, i) }

func prepareS3List(ctx context.Context, s *Session, step *Step) (operation, error) {
	if err := s.makeBucket(ctx); err != nil {
		return nil, err
	}
	total := max(step.Keys, listPage+1)
	if have := s.keys; have < total {
		err := s.fill(ctx, "keys", total-have, true, func(ctx context.Context, w *worker, n int64) (moved, error) {
			i := have + int(n)
			return s.put(ctx, w, "/"+s.target.Bucket+"/"+s.listKey(i), uint64(i), listBodySize)
		})
		if err != nil {
			return nil, err
		}
		s.keys = total
	}
	prefix := strings.ReplaceAll(fmt.Sprintf("list/%016x/", s.seed), "/", "%2F")
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		after := int(hash(s.seed, 10, uint64(n)) % uint64(total-listPage))
		resp, err := w.client.do(ctx, &request{method: "GET", path: "/" + s.target.Bucket, query: "list-type=2&max-keys=1000" +
			"&prefix=" + prefix + "&start-after=" + strings.ReplaceAll(s.listKey(after), "/", "%2F")})
		if err != nil {
			return moved{}, err
		}
		if err := resp.want(200); err != nil {
			return moved{}, err
		}
		return moved{listPage, resp.size}, s.checkPage(resp.body, after+1)
	}, nil
}

var errKeys = errors.New("listing: wrong keys")

// checkPage scans a listing for its keys; a parser of XML would cost more than the server.
func (s *Session) checkPage(body []byte, from int) error {
	for i := range listPage {
		_, rest, ok := bytes.Cut(body, []byte("<Key>"))
		key, rest, closed := bytes.Cut(rest, []byte("</Key>"))
		want := s.listKey(from + i)
		if !ok || !closed || string(key) != want && strings.ReplaceAll(string(key), "%2F", "/") != want {
			return fmt.Errorf("%w: number %d is %q, want %q", errKeys, i, key, want)
		}
		body = rest
	}
	return nil
}

// settleDisk writes what is dirty in the page cache, so that no server has to share the disk with what another, which does not sync, has
// left to the kernel. drop also forgets what is clean.
func settleDisk(drop bool) error {
	syscall.Sync()
	if !drop {
		return nil
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
		return fmt.Errorf("drop the page cache: %w", err)
	}
	return nil
}
