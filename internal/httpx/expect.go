package httpx

import (
	"iter"
	"net/http"

	"github.com/valyala/fasthttp"
)

// A request with "Expect: 100-continue" must be answered either by "100
// Continue", after which the client sends its body, or by a final status.
// fasthttp asks which before it calls the handler, but only the handler knows,
// and by its actions: if it reads the body, it wants it.
//
// So the handler runs right when fasthttp asks, as a coroutine. If it returns
// without having read, its response is the answer. If it reads, it is
// suspended, fasthttp is told to continue, and when it calls the handler that
// one is resumed.
type suspended struct {
	next   func() (struct{}, bool)
	expect *expectation
}

// expect implements fasthttp's ExpectHandler.
func (s *Server) expect(rc *fasthttp.RequestCtx) int {
	cn, ok := rc.Conn().(*conn)
	if !ok {
		return http.StatusInternalServerError
	}
	sus := &suspended{expect: &expectation{}}
	next, _ := iter.Pull(func(yield func(struct{}) bool) {
		sus.expect.pause = func() { yield(struct{}{}) }
		cn.expecting = sus.expect
		s.dispatch(rc)
	})
	sus.next = next
	if _, waiting := next(); !waiting {
		cn.linger.Store(true) // the body may be on its way already
		return rc.Response.StatusCode()
	}
	cn.suspended = sus
	return fasthttp.StatusContinue
}

// expectation is how the body reader of a request with an Expect header asks
// for "100 Continue".
type expectation struct {
	pause func() // returns once the body may be read, or never will be
	err   error  // set before pause returns, if the body won't come
}

// resume continues the handler and runs it to its end. If err is set, reading
// the body has failed before it began.
func (cn *conn) resume(err error) {
	sus := cn.suspended
	cn.suspended = nil
	if err != nil {
		sus.expect.err = err
	}
	sus.next()
}
