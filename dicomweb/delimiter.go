package dicomweb

import "bytes"

// delimiter finds one text in a stream of bytes. It looks at one byte in as many as the text is long: most can't be part of
// it, and then no occurrence is there. Pixels are mostly passed over so, twice as fast as bytes.Index looks at each byte: see
// BenchmarkDelimiter.
type delimiter struct {
	text []byte              // "", or up to maxDelimiter bytes
	last [256]int16          // last position of a byte in text; -1 if it does not occur
	prev [maxDelimiter]int16 // position before this one that has the same byte; -1 if there is none
}

const maxDelimiter = maxBoundaryLen + len("\r\n--")

// shortDelimiter is up to where looking at each byte is faster, since a processor looks at 32 at once.
const shortDelimiter = 16

func newDelimiter(text []byte) *delimiter {
	d := &delimiter{text: text}
	for i := range d.last {
		d.last[i] = -1
	}
	for i, c := range text {
		d.prev[i], d.last[c] = d.last[c], int16(i)
	}
	return d
}

// index is where the text is first in b, -1 if it is not.
func (d *delimiter) index(b []byte) int {
	n := len(d.text)
	if n < shortDelimiter {
		return bytes.Index(b, d.text)
	}
	for i := n - 1; i < len(b); i += n {
		for p := d.last[b[i]]; p >= 0; p = d.prev[p] {
			at := i - int(p)
			if b[at] == d.text[0] && at+n <= len(b) && bytes.Equal(b[at:at+n], d.text) {
				return at
			}
		}
	}
	return -1
}

// tail is how many bytes at the end of b may be the beginning of the text.
func (d *delimiter) tail(b []byte) int {
	b = b[max(0, len(b)-len(d.text)+1):]
	for {
		at := bytes.IndexByte(b, d.text[0])
		if at < 0 {
			return 0
		}
		if b = b[at:]; bytes.HasPrefix(d.text, b) {
			return len(b)
		}
		b = b[1:]
	}
}
