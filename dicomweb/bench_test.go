package dicomweb_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gantry/dicomweb"
	"gantry/store"
)

// renumbered is a copy of a file under another SOP Instance UID.
func renumbered(file []byte, uid string, n int) []byte {
	c := slices.Clone(file)
	for at := 0; ; {
		k := bytes.Index(c[at:], []byte(uid))
		if k < 0 {
			return c
		}
		copy(c[at+k+len(uid)-6:], fmt.Sprintf("%06d", n))
		at += k + len(uid)
	}
}

// seriesOf stores n instances of one series and returns the path of the series and of its first instance.
func seriesOf(b *testing.B, s *site, n int) (series, instance string) {
	b.Helper()
	file := corpusFile(b, corpusWith(b, "CT_small", 1)[0])
	s.stow("/studies", file)
	d := s.query("/instances")[0]
	var parts [][]byte
	for i := range n - 1 {
		parts = append(parts, renumbered(file, d.str("00080018"), i+1))
	}
	for chunk := range slices.Chunk(parts, 100) {
		if a := s.stow("/studies", chunk...); a.StatusCode != http.StatusOK {
			b.Fatalf("store: %d %.300s", a.StatusCode, a.body)
		}
	}
	return "/studies/" + d.str("0020000D") + "/series/" + d.str("0020000E"), d.place()
}

func BenchmarkSeriesMetadata500(b *testing.B) {
	for _, c := range []struct {
		name  string
		cache int64
		gzip  bool
	}{{"built", -1, false}, {"built, gzip", -1, true}, {"kept", 0, false}} {
		b.Run(c.name, func(b *testing.B) {
			s := start(b, store.Refuse, func(cfg *dicomweb.Config) { cfg.MetadataCache = c.cache })
			series, _ := seriesOf(b, s, 500)
			headers := []string{"Accept", jsonType}
			if c.gzip {
				headers = append(headers, "Accept-Encoding", "gzip")
			}
			b.ReportAllocs()
			for b.Loop() {
				a := s.get(series+"/metadata", headers...)
				b.SetBytes(int64(len(a.body)))
			}
		})
	}
}

func BenchmarkRetrieve(b *testing.B) {
	s := start(b, store.Refuse, nil)
	series, instance := seriesOf(b, s, 200)
	for name, path := range map[string]string{"instance": instance, "series of 200": series, "frame": instance + "/frames/1"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a := s.get(path)
				if a.StatusCode != http.StatusOK {
					b.Fatal(a.StatusCode)
				}
				b.SetBytes(int64(len(a.body)))
			}
		})
	}
}

func BenchmarkStow(b *testing.B) {
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprint(n, " a request"), func(b *testing.B) {
			s := start(b, store.Refuse, nil)
			file := corpusFile(b, corpusWith(b, "CT_small", 1)[0])
			s.stow("/studies", file)
			uid := s.query("/instances")[0].str("00080018")
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				parts := make([][]byte, n)
				for k := range parts {
					i++
					parts[k] = renumbered(file, uid, i)
				}
				if a := s.stow("/studies", parts...); a.StatusCode != http.StatusOK {
					b.Fatalf("%d %.300s", a.StatusCode, a.body)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(i), "µs/instance")
		})
	}
}

func BenchmarkQuery(b *testing.B) {
	s := start(b, store.Refuse, nil)
	for _, name := range corpusFiles(b, "valid") {
		s.stow("/studies", corpusFile(b, name))
	}
	id := s.query("/studies")[0].str("00100020")
	for _, path := range []string{"/studies?limit=101", "/studies?limit=101&PatientID=" + id, "/studies?PatientID=*1*&limit=101",
		"/studies?StudyDate=20040101-20041231&limit=101", "/instances?limit=101"} {
		b.Run(strings.ReplaceAll(path, "/", ""), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if a := s.get(path); a.StatusCode != http.StatusOK {
					b.Fatal(a.StatusCode)
				}
			}
		})
	}
}
