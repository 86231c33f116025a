package httpx

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// TestWritevGoesOn sends buffers of all lengths, more than the socket takes at once, to a peer that reads a little at a time.
func TestWritevGoesOn(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	got := make(chan []byte, 1)
	go func() {
		peer, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			got <- nil
			return
		}
		defer peer.Close()
		var all bytes.Buffer
		_, _ = io.CopyBuffer(struct{ io.Writer }{&all}, struct{ io.Reader }{peer}, make([]byte, 700)) // compared below
		got <- all.Bytes()
	}()
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{Conn: nc, more: true}
	c.tcp = nc.(*net.TCPConn)
	if c.raw, err = c.tcp.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	if err := c.tcp.SetWriteBuffer(8 << 10); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 8))
	var want bytes.Buffer
	for range 5 {
		var bufs [][]byte
		size := 0
		for _, n := range []int{r.IntN(5000), 0, r.IntN(1 << 20)} {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			want.Write(b)
			bufs, size = append(bufs, b), size+n
		}
		if n, err := c.writev(bufs...); n != size || err != nil {
			t.Fatalf("wrote %d of %d bytes: %v", n, size, err)
		}
	}
	if err := nc.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(<-got, want.Bytes()) {
		t.Error("the peer got other bytes")
	}
}
