package httpx

import (
	"context"
	"sync"
	"time"
)

// lookEvery is how often a connection is looked at while somebody waits.
const lookEvery = 250 * time.Millisecond

// requestContext is a request's context. Most requests only pass it along and
// check Err; so its channel is made, and the connection watched, when somebody
// first asks for Done.
type requestContext struct {
	srv  *Server
	conn *conn

	mu    sync.Mutex // guards the rest
	done  chan struct{}
	err   error
	after map[*func()]struct{}
}

var _ context.Context = (*requestContext)(nil)

func newRequestContext(s *Server, c *conn) *requestContext {
	return &requestContext{srv: s, conn: c}
}

func (r *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

func (r *requestContext) Value(any) any { return nil }

func (r *requestContext) Err() error {
	if r.srv.aborted.Load() {
		r.cancel(context.Canceled)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *requestContext) Done() <-chan struct{} {
	r.mu.Lock()
	if r.done == nil {
		r.done = make(chan struct{})
		if r.err != nil {
			close(r.done)
		}
	}
	done, live := r.done, r.err == nil
	r.mu.Unlock()
	if live {
		r.srv.watcher.add(r)
	}
	return done
}

// AfterFunc is what package context looks for to tie children to a parent of
// foreign type without a goroutine each.
func (r *requestContext) AfterFunc(f func()) (stop func() bool) {
	r.mu.Lock()
	if r.err != nil {
		r.mu.Unlock()
		go f()
		return func() bool { return false }
	}
	if r.after == nil {
		r.after = make(map[*func()]struct{})
	}
	r.after[&f] = struct{}{}
	r.mu.Unlock()
	r.srv.watcher.add(r)
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		_, ok := r.after[&f]
		delete(r.after, &f)
		return ok
	}
}

// cancel ends the context, once.
func (r *requestContext) cancel(err error) {
	r.mu.Lock()
	if r.err != nil {
		r.mu.Unlock()
		return
	}
	r.err = err
	if r.done != nil {
		close(r.done)
	}
	after := r.after
	r.after = nil
	r.mu.Unlock()
	r.srv.watcher.remove(r)
	for f := range after {
		go (*f)() // as package context does: f may block
	}
}

// watcher looks after the connections of all requests that wait for something.
// Its goroutine lives only while there are any.
type watcher struct {
	mu      sync.Mutex // guards the rest; taken after none
	set     map[*requestContext]struct{}
	running bool
}

func newWatcher() *watcher { return &watcher{set: make(map[*requestContext]struct{})} }

func (w *watcher) add(r *requestContext) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set[r] = struct{}{}
	if !w.running {
		w.running = true
		go w.run()
	}
}

func (w *watcher) remove(r *requestContext) {
	w.mu.Lock()
	delete(w.set, r)
	w.mu.Unlock()
}

func (w *watcher) run() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var list []*requestContext
	for range tick.C {
		list = w.snapshot(list[:0])
		if len(list) == 0 {
			return
		}
		for _, r := range list {
			if r.conn.gone() || r.srv.aborted.Load() {
				r.cancel(context.Canceled)
			}
		}
		clear(list)
	}
}

// snapshot copies the set; if it is empty, run must end.
func (w *watcher) snapshot(list []*requestContext) []*requestContext {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.set {
		list = append(list, r)
	}
	w.running = len(list) > 0
	return list
}

// abortAll cancels every watched context.
func (w *watcher) abortAll() {
	w.mu.Lock()
	list := make([]*requestContext, 0, len(w.set))
	for r := range w.set {
		list = append(list, r)
	}
	w.mu.Unlock()
	for _, r := range list {
		r.cancel(context.Canceled)
	}
}
