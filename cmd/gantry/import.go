package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// maxJobs bounds how many files are on their way at once.
const maxJobs = 64

// importer is one run of `gantry import`.
type importer struct {
	settings settings
	remote   remoteFlags
	bucket   string
	jobs     int
	report   string
	state    string
	again    bool

	sink  sink
	done  *importState
	tally *tally
}

func newImport() *cobra.Command {
	var im importer
	cmd := &cobra.Command{
		Use:   "import DIR...",
		Short: "Store all DICOM files below directories",
		Long: `Store all DICOM files below directories, several at a time. If a gantry runs on the data directory, or --url names one, files are sent to it by
STOW; if not, they go straight into the data directory. Either way an instance that is stored already is not stored again.

Files that were stored are noted (as hashes of path, size and time) in a file of the user's cache, one for each store, so that a run that was interrupted, or
is repeated, passes over them without reading them. --again reads everything anew: after instances were deleted, or the store was restored from a backup.

What was not stored is reported on stdout, or in the file that --report names: path, outcome and reason, separated by tabs, a path with
unusual characters quoted. Outcomes are: refused (DICOM, but the archive won't have it), unreadable, not-dicom, dicomdir (the table of
contents of a medium), link. Symbolic links are never followed. Paths may hold patient data.

` + keyHelp + `

Exit codes: 0 all DICOM files are stored; 1 error, or interrupted: the same command goes on from there; 2 wrong arguments; 3 done, but something was
refused or unreadable; 4 the data directory is in use.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return im.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	im.settings.addFlags(cmd, "web-listen")
	im.remote.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&im.bucket, "bucket", "", "archive to store into (default: that of the configuration)")
	f.IntVar(&im.jobs, "jobs", 8, fmt.Sprintf("files on their way at once, at most %d", maxJobs))
	f.StringVar(&im.report, "report", "", "write the report to this file instead of stdout")
	f.StringVar(&im.state, "state", "", "file that notes what is done (default: one in the user's cache directory)")
	f.BoolVar(&im.again, "again", false, "also read files that an earlier run has stored")
	return cmd
}

func (im *importer) run(ctx context.Context, dirs []string, stdout, stderr io.Writer) (err error) {
	if im.jobs < 1 || im.jobs > maxJobs {
		return usageError{fmt.Errorf("--jobs is not between 1 and %d", maxJobs)}
	}
	c, err := im.settings.load()
	if err != nil {
		return err
	}
	trees, err := openTrees(dirs)
	if err != nil {
		return err
	}
	defer trees.close()
	if im.sink, err = im.openSink(ctx, &c, stderr); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, im.sink.close()) }()
	if im.done, err = im.openState(ctx, &c, stderr); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, im.done.close()) }()
	out := stdout
	if im.report != "" {
		f, err := os.OpenFile(im.report, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return usageError{err}
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	im.tally = &tally{report: out}
	return im.importAll(ctx, trees, stderr)
}

// importAll feeds the files of all trees to the workers, and shows how it gets on.
func (im *importer) importAll(ctx context.Context, trees trees, stderr io.Writer) error {
	g, gctx := errgroup.WithContext(ctx)
	files := make(chan foundFile, im.jobs)
	g.Go(func() error {
		defer close(files)
		return trees.walk(gctx, func(f foundFile) error {
			if f.outcome.kind != "" {
				im.tally.add(f, f.outcome)
				return nil
			}
			select {
			case files <- f:
				return nil
			case <-gctx.Done():
				return context.Cause(gctx)
			}
		})
	})
	for range im.jobs {
		g.Go(func() error {
			for f := range files {
				if err := im.one(gctx, f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	// Counted apart, ahead of the work: what it finds is only for the progress, and ends with it.
	cctx, stopCounting := context.WithCancel(gctx)
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		trees.count(cctx, im.tally)
	}()
	stop := newProgress(stderr).watch(im.tally.line)
	err := g.Wait()
	stopCounting()
	<-counted
	stop()
	fmt.Fprintln(stderr, im.tally.summary())
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	if err := im.noteEnd(ctx); err != nil {
		return err
	}
	return im.tally.verdict()
}

// noteEnd remembers how far the log goes now: a store that ends before that is not the one that has these files.
func (im *importer) noteEnd(ctx context.Context) error {
	id, err := im.sink.identity(ctx)
	if err != nil {
		return err
	}
	return im.done.addEnd(id.end)
}

// one imports one file. An error ends the whole import.
func (im *importer) one(ctx context.Context, found foundFile) error {
	f, info, err := found.open()
	if err != nil {
		im.tally.add(found, outcome{unreadable, plainError(err)})
		return nil
	}
	defer func() { _ = f.Close() }()
	found.size = info.Size()
	key := found.key(info)
	if im.done.has(key) {
		im.tally.add(found, outcome{kind: earlier})
		return nil
	}
	o, err := im.sink.put(ctx, f, info.Size())
	if err != nil {
		return err
	}
	im.tally.add(found, o)
	if o.kind == stored || o.kind == known {
		return im.done.add(key)
	}
	return nil
}

// openSink decides which way the files go.
func (im *importer) openSink(ctx context.Context, c *Config, stderr io.Writer) (sink, error) {
	online := im.remote.url != ""
	if !online {
		var err error
		if online, err = locked(c); err != nil {
			return nil, err
		}
	}
	if online {
		rm, err := im.remote.connect(c)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(stderr, "sending to the gantry at %s\n", rm.base.Redacted())
		return newStowSink(rm, im.bucket), nil
	}
	fmt.Fprintf(stderr, "no gantry runs on the data directory %s: storing straight into it\n", c.Data)
	return newStoreSink(ctx, c, im.bucket)
}

// openState opens the notes of what was done before, for this very store.
func (im *importer) openState(ctx context.Context, c *Config, stderr io.Writer) (*importState, error) {
	id, err := im.sink.identity(ctx)
	if err != nil {
		return nil, err
	}
	bucket := im.bucket
	if bucket == "" {
		bucket = c.Archive
	}
	id.bucket = bucket
	path := im.state
	if path == "" {
		if path, err = defaultStatePath(id); err != nil {
			fmt.Fprintf(stderr, "no notes are kept of what is done: %v\n", err)
			return &importState{}, nil
		}
	}
	st, err := openImportState(path, id, im.again)
	if err != nil {
		return nil, err
	}
	if n := len(st.seen); n > 0 {
		fmt.Fprintf(stderr, "%d files were stored by earlier runs\n", n)
	}
	return st, nil
}
