package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// CrashClone returns a new Mem as the disk would look if power were lost now. Whatever was synced is there. Of the rest:
//   - each write since the last Sync of its file is kept with probability keep; else it is lost, or torn: each of its sectors of 512
//     bytes is kept or lost by itself (sectors are atomic; one that several writes have changed goes with the last of them);
//   - a size that is not durable is the new one, the old one, or one in between, and what was not kept reads as zeros;
//   - each create, rename and remove since the last SyncDir of its directory is kept with probability keep.
//
// With keep 0 exactly the synced state is left, with 1 everything. The clone has no locks and no open files, and all of it
// is durable. The original goes on undisturbed. The same state and random source give the same clone.
func (m *Mem) CrashClone(rng *rand.Rand, keep float64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &crash{rng: rng, keep: keep, files: make(map[*memNode]*memNode), dirs: make(map[*memDir]map[string]node)}
	for _, op := range m.ops {
		if c.kept() {
			c.apply(op)
		}
	}
	clone := NewMem()
	clone.capacity, clone.ticks = m.capacity, m.ticks
	clone.root = c.dir(m.root)
	for _, f := range c.files {
		clone.used += f.allocated()
	}
	return clone
}

// crash is the making of one clone.
type crash struct {
	rng   *rand.Rand
	keep  float64
	files map[*memNode]*memNode
	dirs  map[*memDir]map[string]node // durable entries with the changes that were kept, of directories that have any
}

func (c *crash) kept() bool { return c.rng.Float64() < c.keep }

// entries returns the directory's durable entries, to be changed.
func (c *crash) entries(d *memDir) map[string]node {
	if c.dirs[d] == nil {
		c.dirs[d] = maps.Clone(d.durable)
	}
	return c.dirs[d]
}

func (c *crash) apply(op *dirOp) {
	if op.remove != nil {
		if e := c.entries(op.remove); e[op.removeName] == op.node {
			delete(e, op.removeName)
		}
	}
	if op.add != nil {
		c.entries(op.add)[op.addName] = op.node
	}
}

// dir clones a directory and everything below it.
func (c *crash) dir(d *memDir) *memDir {
	clone := newMemDir()
	entries := c.entries(d)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		var n node
		switch old := entries[name].(type) {
		case *memDir:
			n = c.dir(old)
		case *memNode:
			n = c.file(old)
		}
		clone.now[name], clone.durable[name] = n, n
	}
	return clone
}

// file clones a file. One that has two names after the crash (its rename was kept, its creation too) stays one file.
func (c *crash) file(n *memNode) *memNode {
	if done := c.files[n]; done != nil {
		done.links++
		return done
	}
	size := c.size(n.durableSize, int64(len(n.data)))
	data := make([]byte, size)
	copy(data, n.durableLocked())
	fates := make(map[int]fate)
	for _, s := range n.sortedSectors() {
		d := n.dirty[s]
		f, ok := fates[d.write]
		if !ok {
			f = c.fate()
			fates[d.write] = f
		}
		at := s * sectorSize
		if at >= size || f == lost || f == torn && c.rng.IntN(2) == 0 {
			continue
		}
		sector := data[at:min(at+sectorSize, size)]
		clear(sector)
		if at < int64(len(n.data)) {
			copy(sector, n.data[at:])
		}
	}
	clone := n.cloneLocked(data)
	c.files[n] = clone
	return clone
}

// fate is what a crash does to a write.
type fate int

const (
	whole fate = iota
	lost
	torn
)

func (c *crash) fate() fate {
	switch {
	case c.kept():
		return whole
	case c.keep > 0 && c.rng.IntN(2) == 0:
		return torn
	}
	return lost
}

// size chooses what is left of a change of size.
func (c *crash) size(durable, now int64) int64 {
	if durable == now || c.kept() {
		return now
	}
	if c.keep > 0 && now > durable && c.rng.IntN(2) == 0 {
		return durable + c.rng.Int64N(now-durable)
	}
	return durable
}
