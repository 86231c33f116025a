package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"gantry/store"
)

func newVerify() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read and check everything that is stored",
		Long: `Read every record of every segment and check it against its checksums, check each segment's footer, and check that
every entry of the catalog leads to its record. Damaged live objects are listed, one "damaged" line each: bucket, key, LSN, what
is wrong. gantry must not be running on the data directory.

Exit codes: 0 everything is intact; 1 error; 2 wrong flag or configuration; 3 damage was found; 4 the data directory is in use.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.load()
			if err != nil {
				return err
			}
			st, err := openStore(cmd.Context(), &c, slog.New(slog.DiscardHandler), nil, nil)
			if err != nil {
				return err
			}
			found := st.Damage()
			p := newProgress(cmd.ErrOrStderr(), "verify")
			rep, err := st.Verify(cmd.Context(), p.update)
			p.end()
			if err != nil {
				_ = st.Close()
				return err
			}
			if err := st.Close(); err != nil {
				return err
			}
			return reportVerify(cmd.OutOrStdout(), rep, found)
		},
	}
	s.addFlags(cmd)
	return cmd
}

func reportVerify(w io.Writer, rep *store.Report, found []store.Damage) error {
	for _, d := range rep.Damage {
		fmt.Fprintf(w, "damage\tsegment %s\tLSN %s to %s\t%s\n", d.Segment, d.From, d.To, d.Detail)
	}
	for _, o := range rep.Damaged {
		fmt.Fprintf(w, "damaged\t%s\t%q\tLSN %s\t%s\n", o.Bucket, o.Name, o.LSN, o.Detail)
	}
	fmt.Fprintf(w, "%d segments, %d records, %d bytes, %d live objects: ", rep.Segments, rep.Records, rep.Bytes, rep.Objects)
	if rep.Clean() && len(found) == 0 {
		fmt.Fprintln(w, "everything is intact")
		return nil
	}
	fmt.Fprintf(w, "%d places damaged, %d live objects damaged\n", len(rep.Damage), len(rep.Damaged))
	return errFindings
}

// progress shows how a long task is getting on, on one line of a terminal or in a line now and then.
type progress struct {
	w       io.Writer
	what    string
	started time.Time
	shown   time.Time
}

func newProgress(w io.Writer, what string) *progress {
	now := time.Now()
	return &progress{w: w, what: what, started: now, shown: now}
}

const progressEvery = 2 * time.Second

func (p *progress) update(at store.Progress) {
	now := time.Now()
	if now.Sub(p.shown) < progressEvery {
		return
	}
	p.shown = now
	elapsed := now.Sub(p.started)
	rate := float64(at.Bytes) / elapsed.Seconds()
	left := time.Duration(float64(at.TotalBytes-at.Bytes) / max(rate, 1) * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(p.w, "%s: %d records, %d of %d MiB, %.0f MiB/s, %s left, %d damaged\n", p.what, at.Records, at.Bytes>>20,
		at.TotalBytes>>20, rate/(1<<20), left, at.DamageFound)
}

func (p *progress) end() {}
