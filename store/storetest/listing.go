package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"gantry/store"
)

// testListing compares listings with a naive model, with keys in the overlay and in the engine.
func testListing(h *harness) {
	h.plain()
	rng := rand.New(rand.NewPCG(7, 7))
	pieces := []string{"a", "b", "/", "//", "é", "日", "\x01", "\x7f", "😀", "~", "ab/", "\U0010ffff", strings.Repeat("x", 255)}
	live := map[string]bool{}
	for step := range 4 {
		names := make([]string, 80)
		for i := range names {
			for range 1 + rng.IntN(4) {
				names[i] += pieces[rng.IntN(len(pieces))]
			}
		}
		slices.Sort(names)
		names = slices.Compact(names)
		together(8, func(w int) {
			for i := w; i < len(names); i += 8 {
				h.put(key(names[i]), nil)
			}
		})
		for _, n := range names {
			live[n] = true
		}
		for n := range live {
			if rng.IntN(5) == 0 {
				h.delete(key(n))
				delete(live, n)
			}
		}
		if step%2 == 0 {
			if err := h.Flush(h.Context()); err != nil {
				h.Fatal(err)
			}
		}
		sorted := make([]string, 0, len(live))
		for n := range live {
			sorted = append(sorted, n)
		}
		slices.Sort(sorted)
		for range 150 {
			h.listOnce(sorted, randomList(rng, pieces))
		}
	}
	_, err := h.List(h.Context(), &store.List{Bucket: "none", Max: 1})
	h.wants("list without bucket", err, store.ErrNoBucket)
}

func randomList(rng *rand.Rand, pieces []string) store.List {
	l := store.List{Bucket: "plain", Max: []int{0, 1, 2, 3, 10, 1000, 20000}[rng.IntN(7)]}
	some := func() string {
		s := ""
		for range rng.IntN(3) {
			s += pieces[rng.IntN(len(pieces))]
		}
		return s
	}
	l.Prefix, l.After = some(), some()
	if rng.IntN(3) > 0 {
		l.Delimiter = []string{"/", "//", "é", "b/", "\x01"}[rng.IntN(5)]
	}
	if rng.IntN(2) == 0 {
		l.After = ""
	}
	l.SkipAfter = l.After != "" && rng.IntN(4) == 0
	return l
}

func describe(p store.Page) string {
	var out strings.Builder
	for _, o := range p.Objects {
		fmt.Fprintf(&out, "%q ", o.Name)
	}
	fmt.Fprintf(&out, "prefixes %q truncated %v next %q %v", p.Prefixes, p.Truncated, p.Next, p.NextSkip)
	return out.String()
}

// listOnce compares one page with the model, and the pages of the whole listing with one big page.
func (h *harness) listOnce(sorted []string, l store.List) {
	h.Helper()
	got, err := h.List(h.Context(), &l)
	if err != nil {
		h.Errorf("list %+v: %v", l, err)
	}
	if want := naiveList(sorted, l); describe(got) != describe(want) {
		h.Errorf("list %+v:\n%s, want\n%s", l, describe(got), describe(want))
	}
	if l.Max == 0 || l.Max > 10 {
		return
	}
	big := l
	big.Max = store.MaxPage
	want := naiveList(sorted, big)
	all := got
	for page := got; page.Truncated; {
		l.After, l.SkipAfter = page.Next, page.NextSkip
		if page, err = h.List(h.Context(), &l); err != nil {
			h.Fatalf("list %+v: %v", l, err)
		}
		if n := len(page.Objects) + len(page.Prefixes); n == 0 || n > l.Max {
			h.Fatalf("page of %d entries", n)
		}
		all.Objects, all.Prefixes = append(all.Objects, page.Objects...), append(all.Prefixes, page.Prefixes...)
		all.Truncated, all.Next, all.NextSkip = page.Truncated, page.Next, page.NextSkip
	}
	if describe(all) != describe(want) {
		h.Errorf("pages of %+v:\n%s, want\n%s", l, describe(all), describe(want))
	}
}

func naiveList(sorted []string, l store.List) (p store.Page) {
	n := 0
	for _, name := range sorted {
		rest, ok := strings.CutPrefix(name, l.Prefix)
		if !ok || name <= l.After || l.SkipAfter && strings.HasPrefix(name, l.After) {
			continue
		}
		common := ""
		if i := strings.Index(rest, l.Delimiter); l.Delimiter != "" && i >= 0 {
			common = l.Prefix + rest[:i+len(l.Delimiter)]
			if k := len(p.Prefixes); k > 0 && p.Prefixes[k-1] == common {
				continue
			}
		}
		if n++; n > min(l.Max, store.MaxPage) {
			p.Truncated = l.Max > 0
			return p
		}
		if common != "" {
			p.Prefixes, p.Next, p.NextSkip = append(p.Prefixes, common), common, true
			continue
		}
		p.Objects = append(p.Objects, store.Info{Key: key(name)})
		p.Next, p.NextSkip = name, false
	}
	return p
}
