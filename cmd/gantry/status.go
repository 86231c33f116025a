package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gantry/console"
)

func newStatus() *cobra.Command {
	var s settings
	var r remoteFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell whether everything is safe, whether it is fast, and when it is full",
		Long: `Tell at one glance whether everything is safe, whether it is fast, and when it is full. With --url, a running gantry is asked; without it,
the gantry that runs on the data directory, at the address of its configuration. If none runs, the data directory itself is opened for a moment.

` + keyHelp + `

Exit codes: 0 all is well, or something wants attention; 1 error; 2 wrong flag or setting; 3 alarm: something is wrong now; 4 a gantry was
starting on the data directory.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.load()
			if err != nil {
				return err
			}
			st, err := getStatus(cmd.Context(), &c, &r)
			if err != nil {
				return err
			}
			return showStatus(cmd.OutOrStdout(), st, asJSON)
		},
	}
	s.addFlags(cmd, "web-listen")
	r.addFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the same JSON as /api/status")
	return cmd
}

// maxStatus bounds the JSON of a status.
const maxStatus = 64 << 20

func getStatus(ctx context.Context, c *Config, r *remoteFlags) (*console.Status, error) {
	online := r.url != ""
	if !online {
		if err := requireData(c); err != nil {
			return nil, err
		}
		var err error
		if online, err = locked(c); err != nil {
			return nil, err
		}
	}
	if !online {
		return offlineStatus(ctx, c)
	}
	rm, err := r.connect(c)
	if err != nil {
		return nil, err
	}
	st := &console.Status{}
	if err := rm.getJSON(ctx, console.StatusPath, maxStatus, st); err != nil {
		return nil, fmt.Errorf("status from %s: %w", rm.base.Redacted(), err)
	}
	return st, nil
}

func offlineStatus(ctx context.Context, c *Config) (*console.Status, error) {
	st, err := openStore(ctx, c, slog.New(slog.DiscardHandler), nil, nil)
	if err != nil {
		return nil, err
	}
	out, err := console.Collect(ctx, st, version(), time.Now())
	if closeErr := st.Close(); err == nil {
		err = closeErr
	}
	return out, err
}

func showStatus(w io.Writer, st *console.Status, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(st); err != nil {
			return err
		}
	} else if err := printStatus(w, st); err != nil {
		return err
	}
	if st.Overall == console.Red {
		return errFindings
	}
	return nil
}

// printStatus writes the answers first, then the figures.
func printStatus(w io.Writer, st *console.Status) error {
	running := "not running"
	if !st.Started.IsZero() {
		running = "up " + leftText(float64(st.UptimeSeconds))
	}
	fmt.Fprintf(w, "gantry %s, %s, as of %s\n\n", st.Version, running, st.Time.Format(time.RFC3339))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range []struct {
		name string
		console.Verdict
	}{{"safe", st.Safe}, {"fast", st.Fast}, {"full", st.Full}, {"tidy", st.Tidy}} {
		fmt.Fprintf(t, "%s\t%s\t%s\n", v.name, v.Level.Word(), v.Text)
		if v.More != "" {
			fmt.Fprintf(t, "\t\t%s\n", v.More)
		}
	}
	fmt.Fprintln(t)
	l := st.Log
	fmt.Fprintf(t, "log\tend %s\t%s, segments: %d, epoch %d\n", l.EndLSN, console.Size(l.Bytes), l.Segments, l.Epoch)
	if l.LastWrite != nil {
		fmt.Fprintf(t, "\tnewest record\t%s\n", l.LastWrite.Format(time.RFC3339))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, d := range st.Damage {
		fmt.Fprintf(w, "damage\t%s\t%s\t%s\t%s\n", d.Segment, d.FromLSN, d.ToLSN, d.Detail)
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "objects\tsize\tduplicates\tnot DICOM\tconflicts\t  bucket\n")
	for _, b := range st.Buckets {
		fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%d\t  %s\n", b.Objects, console.Size(b.Bytes), b.Duplicates, b.Unindexed, b.Conflicts, b.Name)
	}
	return t.Flush()
}
