package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"gantry/console"
	"gantry/store"
)

func newVerify() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read and check everything that is stored",
		Long: `Read every record of every segment and check it against its checksums, check each segment's footer, and check that
every entry of the catalog leads to its record, and that there are as many as it counts. Two kinds of lines, fields separated
by tabs, tell what is wrong:

  damage   segment, first LSN, LSN after it, what is wrong      a stretch of the log, whether anything lives in it or not
  damaged  bucket, key (quoted), LSN, what is wrong             a live object; without a key, the list of the bucket's objects

gantry must not be running on the data directory.

Exit codes: 0 everything is intact; 1 error; 2 wrong flag or setting; 3 damage was found; 4 the data directory is in use.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.load()
			if err != nil {
				return err
			}
			if err := requireData(&c); err != nil {
				return err
			}
			replay := storeProgress(cmd.ErrOrStderr(), "replay") // of a restored backup, say, which has no catalog
			st, err := openStore(cmd.Context(), &c, slog.New(slog.DiscardHandler), nil, replay.update)
			replay.end()
			if err != nil {
				return err
			}
			found := st.Damage()
			show := storeProgress(cmd.ErrOrStderr(), "verify")
			rep, err := st.Verify(cmd.Context(), show.update)
			show.end()
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

// reportVerify prints what Verify found, and what recovery had found before and Verify does not see any more.
func reportVerify(w io.Writer, rep *store.Report, found []store.Damage) error {
	damage := slices.Clone(rep.Damage)
	for _, d := range found {
		if !slices.ContainsFunc(damage, func(o store.Damage) bool { return o.From <= d.From && d.To <= o.To }) {
			damage = append(damage, d)
		}
	}
	printDamage(w, damage)
	for _, o := range rep.Damaged {
		fmt.Fprintf(w, "damaged\t%s\t%q\t%s\t%s\n", o.Bucket, o.Name, o.LSN, o.Detail)
	}
	fmt.Fprintf(w, "%d segments, %d records, %s, %d live objects: ", rep.Segments, rep.Records, console.Size(rep.Bytes), rep.Objects)
	if len(damage) == 0 && len(rep.Damaged) == 0 {
		fmt.Fprintln(w, "everything is intact")
		return nil
	}
	fmt.Fprintf(w, "%d places damaged, %d live objects damaged\n", len(damage), len(rep.Damaged))
	if len(damage) == 0 {
		fmt.Fprintln(w, "The log is whole, the catalog is not: “gantry rebuild-catalog” makes it anew.")
	}
	return errFindings
}

func printDamage(w io.Writer, damage []store.Damage) {
	for _, d := range damage {
		fmt.Fprintf(w, "damage\t%s\t%s\t%s\t%s\n", d.Segment, d.From, d.To, d.Detail)
	}
}

// storeTask shows the progress of a task of the store.
type storeTask struct {
	*progress
	what string
}

func storeProgress(w io.Writer, what string) storeTask { return storeTask{newProgress(w), what} }

func (t storeTask) update(at store.Progress) {
	if t.due() {
		t.show(fmt.Sprintf("%s: %d records, %s of %s, %s, %d damaged", t.what, at.Records, console.Size(at.Bytes),
			console.Size(at.TotalBytes), t.pace(at.Bytes, at.TotalBytes), at.DamageFound))
	}
}
