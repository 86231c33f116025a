package scenario

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes the comparison as a table for a document: those of docs/performance.md are made so.
func WriteMarkdown(w io.Writer, rows []Row) error {
	var b strings.Builder
	b.WriteString("| step | metric | gantry or first | peer | ratio | range | goal | |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		if r.Rounds == 0 {
			fmt.Fprintf(&b, "| %s | not measured: %s | | | | | | |\n", r.Name, r.Note)
			continue
		}
		peer, ratio, spread := "", "", ""
		if r.Against != "" {
			peer = fmt.Sprintf("%.4g", r.ToMedian)
		}
		if r.Ratio > 0 {
			ratio, spread = fmt.Sprintf("%.2f", r.Ratio), fmt.Sprintf("%.2f-%.2f", r.Low, r.High)
		}
		met := "met"
		switch {
		case r.Goal.AtLeast == 0 && r.Goal.AtMost == 0:
			met = ""
		case r.Note != "" && !r.Met:
			met = "not measured: " + r.Note
		case !r.Met:
			met = "**not met**"
		}
		fmt.Fprintf(&b, "| %s | %s | %.4g | %s | %s | %s | %s | %s |\n", r.Name, r.Metric, r.OfMedian, peer, ratio, spread, r.Goal, met)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
