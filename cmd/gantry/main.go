// Command gantry is a tiered image store for hospitals: DICOMweb and S3 over one log of segments that tar can read.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"gantry/internal/vfs"
	"gantry/store/catalog"
)

// Exit codes, stated in the help of each command.
const (
	exitOK       = 0
	exitError    = 1 // the command could not do its work
	exitUsage    = 2 // unknown command, flag or setting
	exitFindings = 3 // it did, and found damage, or refused some input
	exitLocked   = 4 // another gantry uses the data directory
)

// errFindings ends a command that worked and has something to report: the report is printed already.
var errFindings = errors.New("see the report")

// errInterrupted ends a command that was told to stop.
var errInterrupted = errors.New("interrupted")

// usageError marks errors of the command line and the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second signal ends the process at once, as if nobody listened.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	code := exitCode(err)
	if err != nil && code != exitFindings {
		fmt.Fprintf(stderr, "gantry: %v\n", err)
		if hint := hintFor(err); hint != "" {
			fmt.Fprintln(stderr, hint)
		}
	}
	return code
}

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFindings):
		return exitFindings
	case errors.Is(err, vfs.ErrLocked), errors.Is(err, errStarting):
		return exitLocked
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitError
}

// hintFor says what to do next.
func hintFor(err error) string {
	var usage usageError
	var listen *net.OpError
	var status *statusError
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return "Another gantry uses this data directory. Stop it first, or choose another with --data."
	case errors.Is(err, syscall.EADDRINUSE):
		return "The address is in use. Choose another with --s3-listen, --web-listen or --pprof."
	case errors.As(err, &listen) && listen.Op == "listen":
		return "Choose an address of this machine, and a port that is free to this user (above 1023, as a rule)."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Nothing answers at that address. A gantry that listens elsewhere is named by its --config or its --url."
	case errors.As(err, &status) && status.status == http.StatusUnauthorized:
		return "If another gantry answers there than the one that you mean, name that with its --config or its --url."
	case errors.Is(err, catalog.ErrCorrupt):
		return "The catalog is damaged, the log need not be: “gantry rebuild-catalog” makes the catalog anew from it."
	case errors.As(err, &usage):
		return "“gantry --help” and “gantry COMMAND --help” tell what there is; gantry.example.yaml explains every setting."
	case errors.Is(err, os.ErrPermission):
		return "Check who owns the data directory and the files in it."
	}
	return ""
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "gantry",
		Short: "A tiered image store for hospitals, spoken to over DICOMweb and S3",
		Long: `gantry keeps medical images, spoken to over DICOMweb and S3, in segments that tar can read.

Settings come from flags, then GANTRY_* environment variables, then the configuration file (--config), then the defaults;
gantry.example.yaml lists them all.

Exit codes of every command: 0 done; 1 error; 2 wrong command, flag or setting; 3 done, with damage found or input
refused; 4 another gantry uses the data directory.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("no command given")}
		},
	}
	root.SetVersionTemplate("gantry {{.Version}}\n")
	root.AddCommand(newServe(), newStatus(), newImport(), newExport(), newVerify(), newRebuild(), newSegment(), newBench())
	markUsage(root)
	return root
}

// markUsage makes errors of arguments and flags usage errors, for a command and those below it.
func markUsage(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		check = cobra.NoArgs
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	for _, sub := range cmd.Commands() {
		markUsage(sub)
	}
}
