package budget

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// hugePage is the usual size of one, in bytes.
const hugePage = 2 << 20

// MapRegion returns n zero bytes outside the heap, which the garbage collector neither scans nor counts, in huge pages where the system
// grants them. Untouched pages take no memory. They must be given back with UnmapRegion, when nobody uses them any more.
func MapRegion(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", n, err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // small ones do
	return b, nil
}

// discard gives the memory of whole pages back to the system; they read as zeros then.
func discard(b []byte) bool { return unix.Madvise(b, unix.MADV_DONTNEED) == nil }

// UnmapRegion gives back what MapRegion returned. Any later use of it crashes.
func UnmapRegion(b []byte) error { return unix.Munmap(b) }
