package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"gantry/console"
)

// exporter is one run of `gantry export`.
type exporter struct {
	settings settings
	remote   remoteFlags
	s3URL    string

	study, series, prefix string
	bucket                string
	jobs                  int

	source source
	dir    *os.Root
	out    io.Writer

	mu    sync.Mutex // guards the rest
	found int64
	count map[string]int64
	bytes int64
}

// What can become of an object.
const (
	written = "written"
	present = "present" // there already, with the right size
	failed  = "failed"
)

func newExport() *cobra.Command {
	var ex exporter
	cmd := &cobra.Command{
		Use:   "export (--study UID | --series UID | --prefix P) DIR",
		Short: "Write a study, a series, or the objects below a prefix to files",
		Long: `Write a study or a series, as DIR/<study>/<series>/<instance>.dcm, or the objects whose keys begin with a prefix, as DIR/<key>, to files: the
bytes that were stored, verified. A file appears under its name only when it is whole. Files that are there with the right size are left alone, so
that an interrupted export goes on where it was. No key leads out of DIR: dots, control characters and overlong parts of keys are escaped as tar
shows them in a segment.

If a gantry runs on the data directory, or --url names one, it is asked; if not, the data directory is read as it is.

What could not be written is reported on stdout, one line each: path, reason, separated by a tab.

` + keyHelp + `

Exit codes: 0 everything is written; 1 error, or nothing found; 2 wrong arguments; 3 some objects could not be written; 4 the data directory is in use.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen := 0
			for _, name := range []string{"study", "series", "prefix"} {
				if cmd.Flags().Changed(name) {
					chosen++
				}
			}
			if chosen != 1 {
				return usageError{errors.New("say one of --study, --series and --prefix")}
			}
			ex.out = cmd.OutOrStdout()
			return ex.run(cmd.Context(), args[0], cmd.ErrOrStderr())
		},
	}
	ex.settings.addFlags(cmd, "web-listen", "s3-listen")
	ex.remote.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&ex.s3URL, "s3-url", os.Getenv("GANTRY_S3_URL"), "S3 listener of a running gantry, for --prefix (environment: GANTRY_S3_URL)")
	f.StringVar(&ex.study, "study", "", "Study Instance UID")
	f.StringVar(&ex.series, "series", "", "Series Instance UID")
	f.StringVar(&ex.prefix, "prefix", "", "what keys begin with; empty for the whole bucket")
	f.StringVar(&ex.bucket, "bucket", "", "bucket (default: the archive of the configuration)")
	f.IntVar(&ex.jobs, "jobs", 8, fmt.Sprintf("objects on their way at once, at most %d", maxJobs))
	return cmd
}

// item is one object to export.
type item struct {
	name string // of the file below DIR, slash-separated, safe
	size int64  // -1 if not known before it is asked for
	open func(ctx context.Context, head bool) (*http.Response, error)
	md5  string // hex, if that is known
}

// source lists what to export.
type source interface {
	list(ctx context.Context, fn func(item) error) error
}

func (ex *exporter) run(ctx context.Context, dir string, stderr io.Writer) (err error) {
	if ex.jobs < 1 || ex.jobs > maxJobs {
		return usageError{fmt.Errorf("--jobs is not between 1 and %d", maxJobs)}
	}
	c, err := ex.settings.load()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return usageError{err}
	}
	if ex.dir, err = os.OpenRoot(dir); err != nil {
		return usageError{err}
	}
	defer func() { _ = ex.dir.Close() }()
	stop, err := ex.openSource(ctx, &c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return ex.exportAll(ctx, stderr)
}

// openSource finds the server, or starts one for this command alone.
func (ex *exporter) openSource(ctx context.Context, c *Config) (stop func() error, err error) {
	if ex.bucket == "" && (ex.remote.url == "" || ex.studyAndSeries() == "") {
		ex.bucket = c.Archive
	}
	online := ex.remote.url != ""
	if !online {
		if err := requireData(c); err != nil {
			return nil, err
		}
		if online, err = locked(c); err != nil {
			return nil, err
		}
	}
	if !online {
		ls, err := startLocal(ctx, c)
		if err != nil {
			return nil, err
		}
		ex.source, err = ex.newSource(ls.web, ls.s3)
		if err != nil {
			return nil, errors.Join(err, ls.close())
		}
		return ls.close, nil
	}
	web, err := ex.remote.connect(c)
	if err != nil {
		return nil, err
	}
	s3 := *web
	switch {
	case ex.s3URL != "":
		s3.client = &http.Client{Transport: newTransport(web.roots)} // another name than the web listener's
		if s3.base, err = parseBase(ex.s3URL); err != nil {
			return nil, usageError{errors.New("--s3-url is not an absolute http or https URL")}
		}
	case ex.remote.url != "" && ex.studyAndSeries() == "":
		return nil, usageError{errors.New("--prefix with --url needs --s3-url, too")}
	default:
		if s3.base, err = parseBase(c.listenURL(c.S3.Listen)); err != nil {
			return nil, err
		}
	}
	ex.source, err = ex.newSource(web, &s3)
	return func() error { web.client.CloseIdleConnections(); return nil }, err
}

func (ex *exporter) studyAndSeries() string { return ex.study + ex.series }

func (ex *exporter) newSource(web, s3 *remote) (source, error) {
	if ex.studyAndSeries() == "" {
		return newS3Source(s3, ex.bucket, ex.prefix)
	}
	return &wadoSource{remote: web, bucket: ex.bucket, study: ex.study, series: ex.series}, nil
}

// exportAll fetches what the source lists, several at a time.
func (ex *exporter) exportAll(ctx context.Context, stderr io.Writer) error {
	ex.count = map[string]int64{}
	g, gctx := errgroup.WithContext(ctx)
	items := make(chan item, ex.jobs)
	g.Go(func() error {
		defer close(items)
		return ex.source.list(gctx, func(it item) error {
			ex.mu.Lock()
			ex.found++
			ex.mu.Unlock()
			select {
			case items <- it:
				return nil
			case <-gctx.Done():
				return context.Cause(gctx)
			}
		})
	})
	for range ex.jobs {
		g.Go(func() error {
			for it := range items {
				if err := ex.one(gctx, it); err != nil {
					return err
				}
			}
			return nil
		})
	}
	stop := newProgress(stderr).watch(ex.line)
	err := g.Wait()
	stop()
	fmt.Fprintf(stderr, "%d found: %d written (%s), %d there already, %d failed\n", ex.found, ex.count[written],
		console.Size(ex.bytes), ex.count[present], ex.count[failed])
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	case ex.found == 0:
		return errors.New("nothing found")
	case ex.count[failed] > 0:
		return errFindings
	}
	return nil
}

func (ex *exporter) line(p *progress) string {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	done := ex.count[written] + ex.count[present] + ex.count[failed]
	s := fmt.Sprintf("%d of %d found, %s, %s, %d failed", done, ex.found, console.Size(ex.bytes), p.pace(ex.bytes, 0), ex.count[failed])
	if n := ex.count[written]; n > 0 {
		s += ", " + leftText(time.Since(p.started).Seconds()/float64(n)*float64(ex.found-done)) + " left for these"
	}
	return s
}

// one writes one object. An error ends the export.
func (ex *exporter) one(ctx context.Context, it item) error {
	kind, n, err := ex.fetch(ctx, it)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if hopeless(err) {
		return err
	}
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.count[kind]++
	ex.bytes += n
	if err == nil {
		return nil
	}
	_, err = fmt.Fprintf(ex.out, "%s\t%s\n", tsvField(it.name), tsvField(plainError(err)))
	return err
}

// hopeless tells errors that every other object would meet as well.
func hopeless(err error) bool {
	var status *statusError
	var dial *net.OpError
	switch {
	case errors.As(err, &status):
		return status.status == http.StatusUnauthorized || status.status == http.StatusForbidden
	case errors.As(err, &dial):
		return dial.Op == "dial"
	}
	return isNoSpace(err) || errors.Is(err, fs.ErrPermission)
}
