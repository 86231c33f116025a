package vfs

import "testing"

// A write that was cut short anywhere goes on at the right byte.
func TestAdvance(t *testing.T) {
	bufs := [][]byte{{0}, {}, {1, 2, 3}, {}, {4}}
	for first := range 6 {
		for second := range 6 - first {
			next, skip := advance(bufs, 0, 0, first)
			next, skip = advance(bufs, next, skip, second)
			for next < len(bufs) && skip == len(bufs[next]) {
				next, skip = next+1, 0
			}
			got := 5
			if next < len(bufs) {
				got = int(bufs[next][skip])
			}
			if got != first+second {
				t.Errorf("%d and %d bytes written: goes on at byte %d", first, second, got)
			}
		}
	}
}
