package storetest

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"gantry/store"
)

// Dump writes down every answer that a client can get, bytes of objects apart: for comparing a catalog with one rebuilt.
func Dump(t testing.TB, s *store.Store) string {
	t.Helper()
	ctx := context.Background()
	var out strings.Builder
	buckets, err := s.Buckets(ctx)
	if err != nil {
		t.Errorf("dump: %v", err)
	}
	for _, b := range buckets {
		fmt.Fprintf(&out, "bucket %+v\n", b)
		totals, err := s.Totals(ctx, b.Name)
		fmt.Fprintf(&out, "totals %+v %v\n", totals, err)
		dumpObjects(&out, s, b.Name)
		dumpUploads(&out, s, b.Name)
		dumpIndexes(&out, s, b.Name)
		err = s.Conflicts(ctx, b.Name, func(study string) bool {
			fmt.Fprintf(&out, "conflict %s\n", study)
			return true
		})
		note(&out, "conflicts", err)
	}
	return out.String()
}

func note(out io.Writer, what string, err error) {
	if err != nil {
		fmt.Fprintf(out, "%s: %v\n", what, err)
	}
}

func dumpIndexes(out io.Writer, s *store.Store, bucket string) {
	for _, ix := range []store.Index{store.ByDate, store.ByPatientID, store.ByName, store.ByAccession, store.ByModality} {
		err := s.Search(context.Background(), bucket, ix, "", "", func(h store.Hit) bool {
			fmt.Fprintf(out, "index %c %+v\n", ix, h)
			if ix == store.ByDate {
				dumpStudy(out, s, bucket, h.Study)
			}
			return true
		})
		note(out, "search", err)
	}
}

func dumpObjects(out io.Writer, s *store.Store, bucket string) {
	l := store.List{Bucket: bucket, Max: store.MaxPage}
	for {
		page, err := s.List(context.Background(), &l)
		note(out, "list", err)
		for _, o := range page.Objects {
			info, err := s.Head(context.Background(), o.Key)
			id := info.Instance
			info.Instance = nil
			fmt.Fprintf(out, "object %+v %+v %v\n", info, id, err)
		}
		if l.After = page.Next; !page.Truncated {
			return
		}
	}
}

func dumpUploads(out io.Writer, s *store.Store, bucket string) {
	ups, err := s.Uploads(context.Background(), &store.ListUploads{Bucket: bucket, Max: store.MaxPage})
	note(out, "uploads", err)
	for _, u := range ups.Uploads {
		parts, more, err := s.Parts(context.Background(), u.Key, u.ID, 0, store.MaxParts)
		fmt.Fprintf(out, "upload %+v parts %+v %v %v\n", u, parts, more, err)
	}
}

func dumpStudy(out io.Writer, s *store.Store, bucket, study string) {
	row, err := s.Study(context.Background(), bucket, study)
	fmt.Fprintf(out, "study %+v %v\n", row, err)
	err = s.SeriesOf(context.Background(), bucket, study, func(r store.SeriesRow) bool {
		fmt.Fprintf(out, "series %+v\n", r)
		return true
	})
	note(out, "series", err)
	err = s.Instances(context.Background(), bucket, study, "", func(r store.InstanceRow) bool {
		one, err := s.Instance(context.Background(), bucket, r.SOP)
		fmt.Fprintf(out, "instance %+v\n same %+v %v\n", r, one, err)
		info, err := s.InstanceInfo(context.Background(), bucket, r.SOP)
		id := info.Instance
		info.Instance = nil // it is shown for itself, not as an address
		fmt.Fprintf(out, " object %+v %+v %v\n", info, id, err)
		return true
	})
	note(out, "instances", err)
}

// FirstDifference shows where two dumps part.
func FirstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}
