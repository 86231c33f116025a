package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Runner measures steps: a Session, or one of the yardsticks, which show what the machine can do at most.
type Runner interface {
	Run(ctx context.Context, step Step) (*Result, error)
}

// RawAppend is the yardstick of writes: it appends objects of Step.Size to one file, Step.Concurrency of them in one
// write, each write followed by an fdatasync. That is the least that a durable store with group commit can do.
type RawAppend struct {
	Dir    string
	Direct bool // past the page cache, as gantry does; sizes must be multiples of 4096
}

func (y RawAppend) name() string {
	if y.Direct {
		return "raw-append-direct"
	}
	return "raw-append"
}

// RawRead is the yardstick of reads: it reads ranges of Step.Size from one file, Step.Concurrency at a time, from the
// page cache if they are there.
type RawRead struct{ Dir string }

// directAlign is what all disks and file systems want of direct I/O.
const directAlign = 4096

// aligned makes a buffer for direct I/O.
func aligned(n int) []byte {
	b := make([]byte, n+directAlign)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (directAlign - 1)
	return b[skip : skip+n]
}

// maxRawFile keeps a yardstick from filling the disk: at that size it ends, however much was to follow, for to cut the file takes longer than many
// writes.
const maxRawFile = 2 << 30

// maxVector bounds a single write, of which the kernel takes 1024 pieces and 2 GiB at most.
const maxVector = 256

// Run measures appends. One operation is one object; its latency is that of its write. Step.Count is of objects.
func (y RawAppend) Run(ctx context.Context, step Step) (res *Result, err error) {
	step = step.withDefaults()
	f, err := os.CreateTemp(y.Dir, "raw-append-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	noise := aligned(8 << 20)
	(&rng{1}).fill(noise)
	if y.Direct {
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFL, unix.O_DIRECT); err != nil {
			return nil, fmt.Errorf("direct I/O: %w", err)
		}
	}
	var batch [][]byte
	var at int64
	op := func(_ context.Context, _ *worker, n int64) (moved, error) {
		if at >= maxRawFile {
			return moved{}, errDone
		}
		batch = batch[:0]
		for i := range step.Concurrency {
			batch = appendNoise(batch, noise, hash(uint64(n), uint64(i)), step.Size)
		}
		first := at
		for part := range slices.Chunk(batch, maxVector) {
			written, err := unix.Pwritev(int(f.Fd()), part, at)
			if err != nil {
				return moved{}, fmt.Errorf("append: %w", err)
			}
			at += int64(written)
		}
		if want := step.Size * int64(step.Concurrency); at-first != want {
			return moved{}, fmt.Errorf("append: %d of %d bytes", at-first, want)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return moved{}, fmt.Errorf("fdatasync: %w", err)
		}
		return moved{int64(step.Concurrency), at - first}, nil
	}
	if err := settleDisk(false); err != nil {
		return nil, err
	}
	writes := (step.Count + int64(step.Concurrency) - 1) / int64(step.Concurrency)
	res, err = drive(ctx, load{workers: 1, duration: step.Duration, count: writes}, []*worker{{}}, op)
	if err != nil {
		return nil, err
	}
	res.Operations, res.OpsPerSecond = res.Objects, res.ObjsPerSecond
	return yardstick(res, y.name(), step), nil
}

// appendNoise appends windows into noise that together have size bytes, each at a page's boundary.
func appendNoise(parts [][]byte, noise []byte, name uint64, size int64) [][]byte {
	for i := uint64(0); size > 0; i++ {
		n := min(size, int64(len(noise))/2)
		from := int64(hash(name, i)%uint64(int64(len(noise))-n)) &^ (directAlign - 1)
		parts = append(parts, noise[from:from+n])
		size -= n
	}
	return parts
}

func yardstick(res *Result, name string, step Step) *Result {
	res.Target, res.Workload, res.SizeBytes, res.Concurrency = name, step.Workload, step.Size, step.Concurrency
	if res.Operations > 0 {
		res.ClientPerOp = res.ClientCPU * 1e6 / float64(res.Operations)
	}
	return res
}

// Run measures range reads.
func (y RawRead) Run(ctx context.Context, step Step) (res *Result, err error) {
	step = step.withDefaults()
	f, err := os.CreateTemp(y.Dir, "raw-read-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	part := make([]byte, step.Size)
	for i := range step.Objects {
		(&rng{uint64(i)}).fill(part)
		if _, err := f.Write(part); err != nil {
			return nil, err
		}
	}
	workers := make([]*worker, step.Concurrency)
	for i := range workers {
		workers[i] = &worker{blobs: []*Blob{{arena: make([]byte, step.Size)}}}
	}
	if err := settleDisk(step.DropCache); err != nil {
		return nil, err
	}
	op := func(_ context.Context, w *worker, n int64) (moved, error) {
		i := int64(hash(2, uint64(n)) % uint64(step.Objects))
		read, err := f.ReadAt(w.blobs[0].arena, i*step.Size)
		return moved{1, int64(read)}, err
	}
	res, err = drive(ctx, load{workers: step.Concurrency, duration: step.Duration, count: step.Count}, workers, op)
	if err != nil {
		return nil, err
	}
	return yardstick(res, "raw-read", step), nil
}

// A Memory holds answers that an HTTP server can give without doing anything for them: what PUT brought, and studies
// rendered as WADO-RS gives them. A server around it shows what HTTP over loopback costs at the least.
type Memory struct {
	mu     sync.RWMutex // guards bodies
	bodies map[string]Answer
}

// Answer is one prepared answer.
type Answer struct {
	ContentType string
	Body        []byte
}

// NewMemory returns an empty one.
func NewMemory() *Memory { return &Memory{bodies: make(map[string]Answer)} }

// Put keeps a body under a path.
func (m *Memory) Put(path, contentType string, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bodies[path] = Answer{contentType, body}
}

// Get returns what is kept under a path.
func (m *Memory) Get(path string) (Answer, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	a, ok := m.bodies[path]
	return a, ok
}

// PutStudies renders the first n studies of g under a prefix: each instance if instances, else each series.
func (m *Memory) PutStudies(g *Generator, n int, prefix string, instances bool) {
	const contentType = `multipart/related; type="application/dicom"; boundary=` + stowBoundary
	var blob Blob
	for _, st := range g.Studies(n) {
		for _, se := range st.Series {
			var body []byte
			for _, in := range se.Instances {
				g.Build(in, &blob)
				part := stowNext
				if len(body) == 0 {
					part = stowOpen
				}
				part = strings.TrimSuffix(part, "\r\n") + "Content-Length: " + itoa(int(blob.Size)) + "\r\n\r\n"
				body = append(append(body, part...), blob.Bytes()...)
				if instances {
					m.Put(prefix+instancePath(in), contentType, append(body, stowClose...))
					body = nil
				}
			}
			if !instances {
				m.Put(prefix+seriesPath(se), contentType, append(body, stowClose...))
			}
		}
	}
}

// StowAnswer is what a server answers that keeps nothing of a STOW request with one instance: it takes the SOP Instance UID from where this
// package writes it, (0002,0003). It is empty if there is none.
func StowAnswer(body []byte) []byte {
	_, value, ok := bytes.Cut(body[:min(len(body), 1<<10)], []byte("\x02\x00\x03\x00UI"))
	if !ok || len(value) < 2 {
		return nil
	}
	n := int(binary.LittleEndian.Uint16(value))
	uid := bytes.TrimRight(value[2:min(len(value), 2+n)], "\x00")
	return fmt.Appendf(nil, `{"00081199":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":[%q]}}]}}`, uid)
}
