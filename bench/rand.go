package bench

import "math/bits"

// mix is the finaliser of splitmix64: a bijection that turns counters into noise.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// hash folds numbers into one; the order matters.
func hash(numbers ...uint64) uint64 {
	h := uint64(0x8445D61A4E774912)
	for _, n := range numbers {
		h = mix(bits.RotateLeft64(h, 23) ^ n)
	}
	return h
}

// A rng is a splitmix64 generator: fast, seedable, and good enough for pixels and schedules.
type rng struct{ state uint64 }

func (r *rng) next() uint64 {
	r.state += 0x9E3779B97F4A7C15
	return mix(r.state)
}

// n returns a number in [0, limit).
func (r *rng) n(limit int) int {
	hi, _ := bits.Mul64(r.next(), uint64(limit))
	return int(hi)
}

// fill writes noise over b.
func (r *rng) fill(b []byte) {
	for len(b) >= 8 {
		v := r.next()
		for i := range 8 {
			b[i] = byte(v >> (8 * i))
		}
		b = b[8:]
	}
	for i := range b {
		b[i] = byte(r.next())
	}
}

// bell returns noise of mean 0 and a standard deviation of about sigma, as the sum of four uniform numbers.
func (r *rng) bell(sigma int) int {
	v := r.next()
	sum := int(v&0xFFFF) + int(v>>16&0xFFFF) + int(v>>32&0xFFFF) + int(v>>48) - 2*0xFFFF
	return sum * sigma / 37837 // 37837: standard deviation of the sum
}
