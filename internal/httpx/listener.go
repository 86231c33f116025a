package httpx

import (
	"errors"
	"net"
	"sync"
	"time"
)

// listener hands fasthttp the connections that have something to say: new
// ones, and parked ones on which a request begins.
//
// fasthttp keeps a goroutine with a deep stack and read and write buffers of
// some 40 KiB for each connection, whether or not anything happens on it. A
// connection that stays idle for a second is taken from it and parked here, at
// the price of one small goroutine, and comes back through Accept.
type listener struct {
	net.Listener
	srv   *Server
	ready chan *conn    // unbuffered: whoever sends still owns
	done  chan struct{} // closed by Close
	wg    sync.WaitGroup

	mu     sync.Mutex // guards the rest
	closed bool
	parked map[*conn]struct{}
	err    error // why the accept loop ended
}

const (
	minAcceptBackoff = 5 * time.Millisecond
	maxAcceptBackoff = time.Second
)

func newListener(s *Server, ln net.Listener) *listener {
	l := &listener{Listener: ln, srv: s, ready: make(chan *conn), done: make(chan struct{}),
		parked: make(map[*conn]struct{})}
	l.wg.Go(l.acceptLoop)
	return l
}

// Accept returns the next connection that is worth serving.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err != nil && !errors.Is(l.err, net.ErrClosed) {
			return nil, l.err
		}
		return nil, net.ErrClosed
	}
}

// Close stops accepting, closes what is parked, and waits for its goroutines.
func (l *listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.done)
	err := l.Listener.Close()
	for c := range l.parked {
		c.abort()
	}
	l.mu.Unlock()
	l.wg.Wait()
	return err
}

func (l *listener) acceptLoop() {
	backoff := minAcceptBackoff
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if !l.retryAccept(err, backoff) {
				return
			}
			backoff = min(2*backoff, maxAcceptBackoff)
			continue
		}
		backoff = minAcceptBackoff
		c := newConn(l.srv, l, nc)
		if !l.srv.addConn(c) {
			l.srv.metrics.rejected.Inc()
			refuse(nc)
			continue
		}
		l.deliver(c)
	}
}

// retryAccept waits out errors that pass, such as too many open files.
func (l *listener) retryAccept(err error, backoff time.Duration) bool {
	//nolint:staticcheck // Temporary is deprecated, but what net still reports for EMFILE, ENFILE and ECONNABORTED
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Temporary() {
		l.srv.cfg.Logger.Warn("accept", "server", l.srv.cfg.Name, "error", err)
		select {
		case <-time.After(backoff):
			return true
		case <-l.done:
			return false
		}
	}
	l.mu.Lock()
	l.err = err
	closed := l.closed
	l.mu.Unlock()
	if !closed {
		go func() { _ = l.Close() }() // waits for this goroutine
	}
	return false
}

// deliver gives c to Accept, or closes it if nobody accepts any more.
func (l *listener) deliver(c *conn) {
	select {
	case l.ready <- c:
	case <-l.done:
		_ = c.Close()
	}
}

// park keeps c until its next request begins or its idle time is over.
func (l *listener) park(c *conn) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		_ = c.Close()
		return
	}
	l.parked[c] = struct{}{}
	l.wg.Add(1) // under mu, so that Close's Wait comes after
	l.mu.Unlock()
	go func() {
		defer l.wg.Done()
		awake := c.waitReadable(c.idleUntil) && !c.gone()
		l.mu.Lock()
		delete(l.parked, c)
		l.mu.Unlock()
		if awake {
			l.deliver(c)
		} else {
			_ = c.Close()
		}
	}()
}

// refuse turns a connection away that there is no room for. A fresh socket's
// send buffer takes these few bytes without blocking.
func refuse(nc net.Conn) {
	_ = nc.SetWriteDeadline(time.Now().Add(time.Millisecond))
	_, _ = nc.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n" +
		"Retry-After: 1\r\nConnection: close\r\n\r\n"))
	_ = nc.Close()
}
