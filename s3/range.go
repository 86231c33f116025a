package s3

import (
	"strconv"
	"strings"

	"gantry/store"
)

// span is a piece of an object.
type span struct{ off, n int64 }

// parseRange reads a Range header for an object of a size. It is not ok if the header means the whole object: it is
// malformed, in another unit, or has several ranges, which S3 does not serve. A range that lies outside is codeInvalidRange.
func parseRange(h string, size int64) (s span, ok bool, err error) {
	spec, isBytes := strings.CutPrefix(h, "bytes=")
	if !isBytes || strings.Contains(spec, ",") {
		return span{}, false, nil
	}
	first, last, found := strings.Cut(spec, "-")
	if !found {
		return span{}, false, nil
	}
	if first == "" {
		return suffixRange(last, h, size)
	}
	from, ok := parseOffset(first)
	if !ok {
		return span{}, false, nil
	}
	to := size - 1
	if last != "" {
		end, ok := parseOffset(last)
		if !ok || end < from {
			return span{}, false, nil
		}
		to = min(to, end)
	}
	if from >= size {
		return span{}, false, errRange(h, size)
	}
	return span{from, to - from + 1}, true, nil
}

func suffixRange(last, h string, size int64) (span, bool, error) {
	n, ok := parseOffset(last)
	if !ok {
		return span{}, false, nil
	}
	switch {
	case n == 0:
		return span{}, false, errRange(h, size)
	case size == 0: // the end of nothing is there, but has no Content-Range
		return span{}, false, nil
	}
	n = min(n, size)
	return span{size - n, n}, true, nil
}

// parseOffset reads digits; what doesn't fit is as good as the largest offset.
func parseOffset(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = 1<<63 - 1
	}
	return n, true
}

func errRange(h string, size int64) error {
	return newError(codeInvalidRange, "").with("RangeRequested", clip(h)).with("ActualObjectSize", itoa(size)).
		withHeader("Content-Range", "bytes */"+itoa(size))
}

// parseCopyRange reads x-amz-copy-source-range, which knows only one form.
func parseCopyRange(h string, size int64) (span, error) {
	spec, ok := strings.CutPrefix(h, "bytes=")
	first, last, found := strings.Cut(spec, "-")
	from, ok1 := parseOffset(first)
	to, ok2 := parseOffset(last)
	if !ok || !found || !ok1 || !ok2 || to < from {
		return span{}, errArgument("The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "+
			"zero-based offsets of the first and last bytes to copy", "x-amz-copy-source-range", h)
	}
	if to >= size {
		return span{}, errArgument("Range specified is not valid for source object of size: "+itoa(size), "x-amz-copy-source-range", h)
	}
	if to-from+1 > store.MaxPut {
		return span{}, errSourceTooLarge()
	}
	return span{from, to - from + 1}, nil
}

func errSourceTooLarge() error {
	return newError(codeInvalidRequest, "The specified copy source is larger than the maximum allowable size for a copy source: "+
		itoa(int64(store.MaxPut)))
}
