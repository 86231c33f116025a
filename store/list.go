package store

import (
	"context"
	"fmt"
	"strings"

	"gantry/store/catalog"
)

// MaxPage is the largest page of a listing.
const MaxPage = 10000

// List gives one page of keys. Keys that share a common prefix up to the delimiter are skipped by seeking, not by reading.
// Errors: ErrNoBucket.
func (s *Store) List(ctx context.Context, l *List) (Page, error) {
	b, err := getBucket(s.catalog, l.Bucket)
	if err != nil {
		return Page{}, err
	}
	root := inBucket(spaceObject, b.ID)
	lo := append(root[:len(root):len(root)], l.Prefix...)
	hi := catalog.PrefixEnd(lo)
	if from := l.start(); from != nil && string(root)+string(from) > string(lo) {
		lo = append(root[:len(root):len(root)], from...)
	}
	it := s.catalog.Iter(lo, hi)
	p := pager{list: l, page: &Page{}, max: min(max(l.Max, 0), MaxPage)}
	for ok := it.Next(); ok; {
		if err := ctx.Err(); err != nil {
			_ = it.Close()
			return Page{}, context.Cause(ctx)
		}
		skip, done, err := p.add(string(it.Key()[len(root):]), it.Value())
		if err != nil {
			_ = it.Close()
			return Page{}, err
		}
		if done {
			break
		}
		if skip != "" {
			ok = it.Seek(catalog.PrefixEnd(append(root[:len(root):len(root)], skip...)))
		} else {
			ok = it.Next()
		}
	}
	if err := it.Close(); err != nil {
		return Page{}, fmt.Errorf("list: %w", closedOr(err))
	}
	return *p.page, nil
}

// start is the first key that may be listed; nil for the first of all.
func (l *List) start() []byte {
	if l.After == "" {
		return nil
	}
	if l.SkipAfter {
		return catalog.PrefixEnd([]byte(l.After))
	}
	return catalog.After([]byte(l.After))
}

// pager fills a page.
type pager struct {
	list *List
	page *Page
	max  int
	n    int
}

// add takes the next key. skip names a common prefix whose other keys need not be seen; done ends the page.
func (p *pager) add(key string, value []byte) (skip string, done bool, err error) {
	if p.n == p.max {
		p.page.Truncated = p.max > 0
		return "", true, nil
	}
	p.n++
	if d := p.list.Delimiter; d != "" {
		if i := strings.Index(key[len(p.list.Prefix):], d); i >= 0 {
			common := key[:len(p.list.Prefix)+i+len(d)]
			p.page.Prefixes = append(p.page.Prefixes, common)
			p.page.Next, p.page.NextSkip = common, true
			return common, false, nil
		}
	}
	info, err := decodeListed(value, Key{Bucket: p.list.Bucket, Name: key})
	if err != nil {
		return "", true, err
	}
	p.page.Objects = append(p.page.Objects, info)
	p.page.Next, p.page.NextSkip = key, false
	return "", false, nil
}
