package main

import (
	"errors"
	"flag"

	"github.com/spf13/cobra"

	"gantry/bench"
)

func newBench() *cobra.Command {
	return &cobra.Command{
		Use:   "bench [flags]",
		Short: "Measure an S3 or DICOMweb server",
		Long: `Measure any S3 or DICOMweb server from the outside, over HTTP only. “gantry bench -h” lists flags and workloads.

Exit codes: 0 done; 1 error; 2 wrong flags; 3 done, but some operations failed or answers were wrong.`,
		Args:               cobra.ArbitraryArgs,
		DisableFlagParsing: true, // the flags are package bench's own
		RunE: func(cmd *cobra.Command, args []string) error {
			err := bench.Main(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
			switch {
			case errors.Is(err, flag.ErrHelp):
				return nil
			case errors.Is(err, bench.ErrFailed):
				return errFindings
			case errors.Is(err, bench.ErrUsage):
				return usageError{err}
			}
			return err
		},
	}
}
