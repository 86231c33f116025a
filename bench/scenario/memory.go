package scenario

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

	"gantry/bench"

	"github.com/valyala/fasthttp"
)

// MemoryCommand is the first argument with which the program that uses this package must call ServeMemory.
const MemoryCommand = "memory-server"

// startMemory runs ServeMemory in a process of its own, so that its CPU time is not the client's.
func startMemory(ctx context.Context, l Launch) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	p, err := launch(ctx, l, "http://"+ports[0]+"/", nil,
		self, MemoryCommand, ports[0], strconv.FormatUint(l.Seed, 10), strconv.Itoa(l.Studies))
	if err != nil {
		return nil, err
	}
	p.Version = "fasthttp"
	p.Target.S3, p.Target.DICOMweb = "http://"+ports[0], "http://"+ports[0]+"/dicomweb"
	return p, nil
}

// ServeMemory answers on an address from memory until the process is killed. args: address, seed, studies.
func ServeMemory(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("%s: want address, seed and number of studies", MemoryCommand)
	}
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	studies, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	m := bench.NewMemory()
	if studies > 0 {
		m.PutStudies(bench.NewGenerator(seed), studies, "/dicomweb", true)
		m.PutStudies(bench.NewGenerator(seed), studies, "/dicomweb", false)
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	server := &fasthttp.Server{
		Handler: func(c *fasthttp.RequestCtx) { serveMemory(c, m) }, MaxRequestBodySize: 1 << 30, ReadBufferSize: 16 << 10,
	}
	return server.Serve(l)
}

func serveMemory(c *fasthttp.RequestCtx, m *bench.Memory) {
	path := string(c.URI().PathOriginal())
	switch {
	case c.IsPut():
		m.Put(path, "application/octet-stream", bytes.Clone(c.PostBody()))
	case c.IsPost():
		c.SetContentType("application/dicom+json")
		c.SetBody(bench.StowAnswer(c.PostBody()))
	case c.IsGet():
		if a, ok := m.Get(path); ok {
			c.SetContentType(a.ContentType)
			c.Response.SetBodyRaw(a.Body)
			return
		}
		c.SetStatusCode(fasthttp.StatusNotFound)
	}
}
