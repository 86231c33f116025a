package dicomweb

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll splits a body and returns its parts, each as content type, "|" and content.
func readAll(src io.Reader, boundary string) ([]string, error) {
	r, err := newRelatedReader(src, boundary)
	if err != nil {
		return nil, err
	}
	defer r.close()
	var parts []string
	for {
		h, err := r.next()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return parts, err
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return parts, err
		}
		parts = append(parts, h["content-type"]+"|"+string(body))
	}
}

func TestRelatedReader(t *testing.T) {
	long := strings.Repeat("0123456789", 20000)
	for _, c := range []struct {
		name, boundary, body string
		want                 []string
	}{
		{"two parts", "b", "--b\r\nContent-Type: x/y\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n", []string{"x/y|one", "|two"}},
		{"no line end after the closing boundary", "b", "--b\r\n\r\none\r\n--b--", []string{"|one"}},
		{"preamble and epilogue", "b", "hello\r\n--bad\r\n--b\r\n\r\none\r\n--b--\r\nbye\r\n--b\r\n", []string{"|one"}},
		{"line feeds only", "b", "--b\nContent-Type: x/y\n\none\n--b\n\ntwo\r\n--b--\n", []string{"x/y|one", "|two\r"}},
		{"padding after the boundary", "b", "--b \t\r\n\r\none\r\n--b  \r\n\r\ntwo\r\n--b--", []string{"|one", "|two"}},
		{"empty part", "b", "--b\r\n\r\n--b\r\n\r\n\r\n--b--", []string{"|", "|"}},
		{"boundary as a prefix of content", "b", "--b\r\n\r\none\r\n--bcd\r\n--b-\r\nend\r\n--b--", []string{"|one\r\n--bcd\r\n--b-\r\nend"}},
		{"no parts", "b", "--b--\r\n", nil},
		{"folded header", "b", "--b\r\nContent-Type: x/y;\r\n a=b\r\n\r\none\r\n--b--", []string{"x/y; a=b|one"}},
		{"longer than the window", "b", "--b\r\n\r\n" + long + "\r\n--b--", []string{"|" + long}},
		{"bare CR at the end", "b", "--b\r\n\r\none\r\r\n--b--", []string{"|one\r"}},
	} {
		for name, src := range map[string]io.Reader{
			"whole":        strings.NewReader(c.body),
			"byte by byte": iotest.OneByteReader(strings.NewReader(c.body)),
			"late end":     iotest.DataErrReader(strings.NewReader(c.body)),
		} {
			got, err := readAll(src, c.boundary)
			if err != nil || strings.Join(got, "\x00") != strings.Join(c.want, "\x00") {
				t.Errorf("%s, %s: got %d parts %.80q, %v", c.name, name, len(got), got, err)
			}
		}
	}
}

// chunky gives out its content in pieces of random length, as a network does.
type chunky struct {
	b []byte
	r *rand.Rand
}

func (c *chunky) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1+c.r.IntN(1<<c.r.IntN(18)))], c.b)
	c.b = c.b[n:]
	return n, nil
}

// TestRelatedReaderFillsLargeBuffers reads parts as the store does, into buffers of a block: they hold line ends, near misses and
// beginnings of the boundary, and every length of the parts and every cut must give the same.
func TestRelatedReaderFillsLargeBuffers(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 300 {
		boundary := strings.Repeat("bound-", 1+r.IntN(12))
		parts := make([][]byte, 1+r.IntN(4))
		var body bytes.Buffer
		for i := range parts {
			p := make([]byte, r.IntN(1<<r.IntN(20)))
			for j := range p {
				p[j] = byte(r.Uint32())
			}
			for range len(p) / 5000 {
				near := "\r\n--" + boundary
				copy(p[r.IntN(len(p)):], near[:r.IntN(len(near))])
			}
			parts[i] = p
			body.WriteString("\r\n--" + boundary + "\r\nContent-Type: application/dicom\r\n\r\n")
			body.Write(p)
		}
		body.WriteString("\r\n--" + boundary + "--\r\n")
		rd, err := newRelatedReader(&chunky{body.Bytes(), r}, boundary)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range parts {
			if _, err := rd.next(); err != nil {
				t.Fatalf("round %d, part %d: %v", round, i, err)
			}
			got := make([]byte, 0, 1<<20)
			for err = nil; err == nil; {
				var n int
				n, err = rd.Read(got[len(got):cap(got)])
				got = got[:len(got)+n]
			}
			if !errors.Is(err, io.EOF) || !bytes.Equal(got, want) {
				t.Fatalf("round %d, part %d of %d bytes: got %d, %v", round, i, len(want), len(got), err)
			}
		}
		if _, err := rd.next(); !errors.Is(err, io.EOF) {
			t.Fatalf("round %d: %v after the last part", round, err)
		}
		rd.close()
		rd.close()
	}
}

func TestRelatedReaderRefuses(t *testing.T) {
	for _, c := range []struct{ name, boundary, body string }{
		{"no boundary", "", "--\r\n\r\n--"},
		{"long boundary", strings.Repeat("b", 257), ""},
		{"empty body", "b", ""},
		{"never a boundary", "b", strings.Repeat("x\r\n", 50000)},
		{"endless line", "b", strings.Repeat("x", 200000)},
		{"oversized header", "b", "--b\r\nA: " + strings.Repeat("x", 9000) + "\r\n\r\none\r\n--b--"},
		{"many headers", "b", "--b\r\n" + strings.Repeat("A: x\r\n", 3000) + "\r\none\r\n--b--"},
		{"no colon", "b", "--b\r\nabc\r\n\r\none\r\n--b--"},
		{"cut in the header", "b", "--b\r\nA: x\r\n"},
		{"cut in the content", "b", "--b\r\n\r\none"},
		{"cut in the boundary", "b", "--b\r\n\r\none\r\n--"},
		{"cut before the dashes", "b", "--b\r\n\r\none\r\n--b"},
		{"one dash", "b", "--b\r\n\r\none\r\n--b-"},
		{"no closing boundary", "b", "--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n"},
	} {
		if parts, err := readAll(strings.NewReader(c.body), c.boundary); err == nil {
			t.Errorf("%s: read as %q", c.name, parts)
		}
	}
}

func TestRelatedReaderPassesErrorsOn(t *testing.T) {
	boom := errors.New("boom")
	src := io.MultiReader(strings.NewReader("--b\r\n\r\none"), iotest.ErrReader(boom))
	if _, err := readAll(src, "b"); !errors.Is(err, boom) {
		t.Errorf("got %v, want the source's error", err)
	}
	if _, err := readAll(strings.NewReader("--b\r\n\r\none"), "b"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut short: got %v", err)
	}
}

func TestRelatedReaderSkipsUnread(t *testing.T) {
	r, err := newRelatedReader(strings.NewReader("--b\r\n\r\none\r\n--b\r\nA: 2\r\n\r\ntwo\r\n--b--"), "b")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if _, err := r.next(); err != nil {
		t.Fatal(err)
	}
	h, err := r.next()
	if err != nil || h["a"] != "2" {
		t.Fatalf("second part: %v, %v", h, err)
	}
}

func FuzzRelatedReader(f *testing.F) {
	f.Add("--b\r\nContent-Type: x/y\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n", "b")
	f.Add("--b\n\n\n--b--", "b")
	f.Add("x\r\n--b \r\n\r\n\r\n--b-\r\n--b--", "b")
	f.Fuzz(func(t *testing.T, body, boundary string) {
		whole, errWhole := readAll(strings.NewReader(body), boundary)
		slow, errSlow := readAll(iotest.OneByteReader(strings.NewReader(body)), boundary)
		if (errWhole == nil) != (errSlow == nil) || strings.Join(whole, "\x00") != strings.Join(slow, "\x00") {
			t.Fatalf("depends on how it is read: %q %v, %q %v", whole, errWhole, slow, errSlow)
		}
		// What the reader took apart can be put together again and read alike.
		if errWhole != nil || strings.ContainsAny(boundary, " \t-") {
			return
		}
		var b strings.Builder
		for _, p := range whole {
			_, content, _ := strings.Cut(p, "|")
			if strings.Contains(content, "--"+boundary) {
				return
			}
			b.WriteString("--" + boundary + "\r\n\r\n" + content + "\r\n")
		}
		again, err := readAll(strings.NewReader(b.String()+"--"+boundary+"--"), boundary)
		if err != nil || len(again) != len(whole) {
			t.Fatalf("round trip: %q became %q, %v", whole, again, err)
		}
	})
}
