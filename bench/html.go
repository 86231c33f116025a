package bench

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
)

// WriteHTML writes the report as one page that needs nothing else: a table, and for each result the distribution of
// latencies and the throughput over time.
func (r *Report) WriteHTML(w io.Writer) error {
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil {
		return err
	}
	return page.Execute(w, struct {
		*Report
		Table string
		All   []*Result
	}{r, table.String(), append(r.Results[:len(r.Results):len(r.Results)], r.Yardsticks...)})
}

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"latency": latencyPlot, "throughput": throughputPlot, "name": (*Result).name,
}).Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>bench {{.Started}}</title>
<style>
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1b2733;background:#fff}
pre{overflow-x:auto;font-size:12px;background:#f4f6f8;padding:1rem;border-radius:6px}
section{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start;border-top:1px solid #dde3e9;padding:.5rem 0}
h2{flex-basis:100%;font-size:1rem;margin:.5rem 0 0}svg{background:#f9fafb;border-radius:6px}
</style>
<h1>bench, {{.Started.Format "2006-01-02 15:04 UTC"}}</h1>
<pre>{{.Table}}</pre>
{{range .All}}<section><h2>{{.Target}}: {{name .}}, {{.Concurrency}} workers</h2>
{{latency .}}{{throughput .}}</section>
{{end}}</html>
`))

const (
	plotWidth  = 560.0
	plotHeight = 180.0
	plotMargin = 42.0
)

// A plot is an SVG of bars with a frame, an x axis of its own labels and a y axis from 0.
type plot struct {
	title string
	bars  [][3]float64 // from x, to x, height; all 0 to 1
	ticks map[float64]string
	top   string // label of height 1
}

func (p plot) svg() template.HTML {
	var b strings.Builder
	w, h := plotWidth-2*plotMargin, plotHeight-2*plotMargin
	f := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format, args...) } // strings.Builder never fails
	f(`<svg role="img" width="%g" height="%g" font-size="11" fill="#51606e"><title>%s</title>`, plotWidth, plotHeight,
		template.HTMLEscapeString(p.title))
	f(`<text x="%g" y="16">%s</text><text x="%g" y="%g" text-anchor="end">%s</text>`, plotMargin,
		template.HTMLEscapeString(p.title), plotMargin-4, plotMargin+4, template.HTMLEscapeString(p.top))
	for _, bar := range p.bars {
		f(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#2f7ed8"/>`, plotMargin+bar[0]*w,
			plotMargin+(1-bar[2])*h, math.Max((bar[1]-bar[0])*w-.5, .5), bar[2]*h)
	}
	f(`<path d="M%g %gv%gh%g" fill="none" stroke="#9aa7b3"/>`, plotMargin, plotMargin, h, w)
	for x, label := range p.ticks {
		f(`<text x="%.1f" y="%g" text-anchor="middle">%s</text>`, plotMargin+x*w, plotMargin+h+14,
			template.HTMLEscapeString(label))
	}
	f(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // built above from numbers and escaped text
}

// latencyPlot shows how many operations took how long, on a logarithmic axis.
func latencyPlot(r *Result) template.HTML {
	p := plot{title: fmt.Sprintf("latency, ms (log): p50 %s, p99 %s, max %s", short(r.LatencyMS.P50),
		short(r.LatencyMS.P99), short(r.LatencyMS.Max)), ticks: make(map[float64]string)}
	if len(r.Distribution) == 0 {
		return p.svg()
	}
	low := math.Floor(math.Log10(r.Distribution[0].from()))
	high := math.Max(math.Ceil(math.Log10(r.Distribution[len(r.Distribution)-1].Millis)), low+1)
	var most int64
	for _, b := range r.Distribution {
		most = max(most, b.Count)
	}
	p.top = axisLabel(float64(most))
	x := func(millis float64) float64 { return (math.Log10(millis) - low) / (high - low) }
	for _, b := range r.Distribution {
		p.bars = append(p.bars, [3]float64{x(b.from()), x(b.Millis), float64(b.Count) / float64(most)})
	}
	for e := low; e <= high; e++ {
		p.ticks[(e-low)/(high-low)] = fmt.Sprint(math.Pow(10, e))
	}
	return p.svg()
}

// throughputPlot shows objects per second over time.
func throughputPlot(r *Result) template.HTML {
	step := timelineStep.Seconds()
	p := plot{title: fmt.Sprintf("objects/s over time: %s on average", short(r.ObjsPerSecond)),
		ticks: map[float64]string{0: "0 s", 1: short(r.Seconds) + " s"}}
	type slot struct{ from, to, objects float64 }
	var slots []slot
	for _, t := range r.Timeline {
		s := slot{t.Seconds, min(t.Seconds+step, r.Seconds), float64(t.Objects)}
		if last := len(slots) - 1; last >= 0 && s.to-s.from < step/2 { // the end: too short for a rate of its own
			slots[last].to, slots[last].objects = s.to, slots[last].objects+s.objects
			continue
		}
		slots = append(slots, s)
	}
	var most float64
	for _, s := range slots {
		most = max(most, s.objects/(s.to-s.from))
	}
	p.top = axisLabel(most)
	for _, s := range slots {
		p.bars = append(p.bars, [3]float64{s.from / r.Seconds, s.to / r.Seconds, s.objects / (s.to - s.from) / max(most, 1e-9)})
	}
	return p.svg()
}

// axisLabel is a number of few enough digits for the margin.
func axisLabel(v float64) string {
	switch {
	case v >= 1e7:
		return short(v/1e6) + "M"
	case v >= 1e4:
		return short(v/1e3) + "k"
	case v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	}
	return short(v)
}
