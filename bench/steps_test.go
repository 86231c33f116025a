package bench_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gantry/bench"
)

// TestStepsOfWrites measures a server that says of each put that it received for 1 ms and synced for 3 ms.
func TestStepsOfWrites(t *testing.T) {
	var puts int
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /bench/", func(w http.ResponseWriter, _ *http.Request) { puts++ })
	mux.HandleFunc("PUT /bench", func(w http.ResponseWriter, _ *http.Request) {})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "# HELP x\ngantry_store_put_seconds_total{step=\"receive\"} %g\n"+
			"gantry_store_put_seconds_total{step=\"fdatasync\"} %g\nother_total 7\n", 100+0.001*float64(puts), 0.003*float64(puts))
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	s := bench.NewSession(bench.Target{Name: "fake", S3: srv.URL, Metrics: srv.URL + "/metrics"}, bench.NewGenerator(1), nil)
	res, err := s.Run(t.Context(), bench.Step{Workload: "s3-put", Size: 100, Concurrency: 1, Count: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Steps) != 2 || res.Steps[0].Name != "fdatasync" || int(res.Steps[0].Percent+.5) != 75 || int(res.Steps[0].Micros+.5) != 3000 ||
		res.Steps[1].Name != "receive" || int(res.Steps[1].Percent+.5) != 25 {
		t.Errorf("steps %+v", res.Steps)
	}
	var table strings.Builder
	if err := bench.WriteResults(&table, []*bench.Result{res}); err != nil {
		t.Fatal(err)
	}
	if want := "fake s3-put 100 B: of 4000 µs in the server  fdatasync 75%  receive 25%"; !strings.Contains(table.String(), want) {
		t.Errorf("table\n%s\nlacks %q", table.String(), want)
	}
}
