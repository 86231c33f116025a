package httpx

import "time"

// meter enforces a minimum rate on one direction of one transfer. Only time
// spent waiting for the peer counts: while we are busy with what we already
// have, the peer owes nothing.
//
// Waiting time adds up to a window; a window in which at least need bytes
// moved ends early and starts anew. A peer is thus forgiven any stall shorter
// than the window, and is cut when a whole window brought less than need.
type meter struct {
	window time.Duration
	need   int64 // bytes per window

	waited time.Duration
	moved  int64
}

func newMeter(rate int64, window time.Duration) meter {
	return meter{window: window, need: max(1, int64(float64(rate)*window.Seconds()))}
}

func (m *meter) reset() { m.waited, m.moved = 0, 0 }

// left is how long the next operation may wait.
func (m *meter) left() time.Duration { return max(m.window-m.waited, 0) }

// add notes that n bytes moved after waiting d, and reports whether the peer is too slow.
func (m *meter) add(n int, d time.Duration) (tooSlow bool) {
	m.moved += int64(n)
	m.waited += d
	if m.moved >= m.need {
		m.reset()
		return false
	}
	return m.waited >= m.window
}
