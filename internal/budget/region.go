package budget

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// MapRegion returns n zero bytes outside the heap, which the garbage collector neither scans nor counts. Untouched pages take no
// memory. They must be given back with UnmapRegion, when nobody uses them any more.
func MapRegion(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", n, err)
	}
	return b, nil
}

// UnmapRegion gives back what MapRegion returned. Any later use of it crashes.
func UnmapRegion(b []byte) error { return unix.Munmap(b) }
