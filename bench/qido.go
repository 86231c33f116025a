package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A query is one QIDO-RS request for studies and what must come back.
type query struct {
	params string
	want   map[string]bool // UIDs that must be in the answer, unless that is as long as the limit
	exact  bool            // and no others

	attribute string // if others may be: of all that come back, its value
	holds     func(value string) bool
}

const (
	qidoLimit     = 100
	dateRangeDays = 7
)

// Queries lists the names that Step.Query takes.
func Queries() []string { return []string{"patient", "accession", "date", "wildcard", "name"} }

// queryFor makes query number n of a kind about a random study.
func (s *Session) queryFor(kind string, studies []*Study, n int64) (query, error) {
	st := pick(s, studies, n)
	q := query{want: map[string]bool{st.UID: true}, exact: true}
	same := func(is func(o *Study) bool) {
		for _, o := range studies {
			if is(o) {
				q.want[o.UID] = true
			}
		}
	}
	switch kind {
	case "patient":
		q.params = "PatientID=" + st.PatientID
		same(func(o *Study) bool { return o.PatientID == st.PatientID })
	case "accession":
		q.params = "AccessionNumber=" + st.Accession
	case "date":
		last := dayAfter(st.Date, dateRangeDays-1)
		q.params = "StudyDate=" + st.Date + "-" + last
		q.attribute, q.holds = "00080020", func(date string) bool { return date >= st.Date && date <= last }
		same(func(o *Study) bool { return q.holds(o.Date) })
	case "wildcard":
		digits := st.PatientID[len(st.PatientID)-6:]
		q.params = "PatientID=*" + digits + "*"
		q.attribute, q.holds = "00100020", func(id string) bool { return strings.Contains(id, digits) }
		same(func(o *Study) bool { return q.holds(o.PatientID) })
	case "name":
		family, _, _ := strings.Cut(st.PatientName, "^")
		ascii := strings.IndexFunc(family, func(r rune) bool { return r > 126 || r == '=' })
		if ascii < 0 {
			ascii = len(family)
		}
		q.params = "PatientName=" + url.QueryEscape(family[:ascii]) + "*"
		q.want = nil // too many match to expect a certain one within the limit
	default:
		return q, fmt.Errorf("no query %q; there are %v", kind, Queries())
	}
	q.params += fmt.Sprintf("&limit=%d", qidoLimit)
	if len(q.want) >= qidoLimit {
		q.want = nil
	}
	q.exact = q.holds == nil && len(q.want) > 0 // no study that was there before has such an ID, but it may have such a date
	return q, nil
}

func dayAfter(date string, days int) string {
	t, err := time.Parse("20060102", date)
	if err != nil {
		panic("bench: a study's date: " + err.Error()) // made by plan
	}
	return t.AddDate(0, 0, days).Format("20060102")
}

func prepareQido(ctx context.Context, s *Session, step *Step) (operation, error) {
	studies, err := s.ensureStudies(ctx, step.Studies)
	if err != nil {
		return nil, err
	}
	kinds := []string{"patient", "accession", "date"}
	if step.Query != "" {
		kinds = strings.Split(step.Query, ",")
	}
	ready := make([]query, 0, 1024)
	for n := range int64(cap(ready)) {
		q, err := s.queryFor(kinds[n%int64(len(kinds))], studies, n)
		if err != nil {
			return nil, err
		}
		q.exact = q.exact && s.stored == len(studies) // others may match what was stored beyond
		ready = append(ready, q)
	}
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		return s.search(ctx, w.client, "/studies", ready[n%int64(len(ready))])
	}, nil
}

// search performs one query.
func (s *Session) search(ctx context.Context, c *client, path string, q query) (moved, error) {
	resp, err := c.do(ctx, &request{method: "GET", path: path, query: q.params, header: acceptJSON})
	if err != nil {
		return moved{}, err
	}
	if resp.status == 204 && len(q.want) == 0 {
		return moved{1, 0}, nil
	}
	if err := resp.want(200); err != nil {
		return moved{}, err
	}
	tag := "0020000D"
	if strings.HasSuffix(path, "/series") {
		tag = "0020000E"
	}
	return moved{1, resp.size}, s.verifyText(path+"?"+q.params, resp, func(body []byte) error {
		return q.check(body, tag)
	})
}

var errAnswer = errors.New("answer lacks or repeats what it should hold")

// check parses a DICOM JSON answer and compares the values of a UID attribute with those wanted.
func (q *query) check(body []byte, tag string) error {
	var objects []attributes
	if err := json.Unmarshal(body, &objects); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	seen := make(map[string]bool, len(objects))
	for _, o := range objects {
		uid := o.text(tag)
		if uid == "" || seen[uid] {
			return fmt.Errorf("%w: %s", errAnswer, tag)
		}
		seen[uid] = true
		if q.holds != nil && !q.holds(o.text(q.attribute)) {
			return fmt.Errorf("%w: a study that does not match", errAnswer)
		}
	}
	found := 0
	for uid := range q.want {
		if seen[uid] {
			found++
		}
	}
	lacks := found != len(q.want) && (q.exact || len(seen) < qidoLimit)
	if lacks || q.exact && len(seen) != len(q.want) {
		return fmt.Errorf("%w: %d of %d wanted, %d in all", errAnswer, found, len(q.want), len(seen))
	}
	return nil
}

// attributes are an object of DICOM JSON (PS3.18 F.2).
type attributes map[string]struct {
	Value []json.RawMessage
}

// text is the value of an attribute that has one, or empty.
func (a attributes) text(tag string) (text string) {
	if v := a[tag].Value; len(v) == 1 {
		_ = json.Unmarshal(v[0], &text) // what is no text remains empty
	}
	return text
}

// openStudyConnections is how many requests a viewer has under way, as browsers allow to one host.
const openStudyConnections = 6

// prepareOpenStudy does what a viewer does: search the study, list its series, get the metadata of each and then all
// frames, several requests in parallel. One operation is one study.
func prepareOpenStudy(ctx context.Context, s *Session, step *Step) (operation, error) {
	studies, err := s.ensureStudies(ctx, step.Studies)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		return s.openStudy(ctx, w, pick(s, studies, n))
	}, nil
}

func (s *Session) openStudy(ctx context.Context, w *worker, st *Study) (moved, error) {
	byAccession := query{params: "AccessionNumber=" + st.Accession, want: map[string]bool{st.UID: true}, exact: true}
	total, err := s.search(ctx, w.client, "/studies", byAccession)
	if err != nil {
		return moved{}, err
	}
	series := query{want: make(map[string]bool), exact: true}
	var jobs []func(c *client) (moved, error)
	for _, se := range st.Series {
		series.want[se.UID] = true
		jobs = append(jobs, func(c *client) (moved, error) { return s.fetchMetadata(ctx, c, se) })
	}
	for _, in := range instancesOf([]*Study{st}, func(in *Instance) bool { return in.Frames > 0 }) {
		jobs = append(jobs, func(c *client) (moved, error) { return s.fetchFrames(ctx, c, in, 0) })
	}
	m, err := s.search(ctx, w.client, studyPath(st)+"/series", series)
	if err != nil {
		return moved{}, err
	}
	total.bytes += m.bytes
	bytes, err := inParallel(w.clients(), jobs)
	return moved{1, total.bytes + bytes}, err
}

// inParallel hands the jobs out, in order, to the clients.
func inParallel(clients []*client, jobs []func(*client) (moved, error)) (int64, error) {
	var (
		mu    sync.Mutex // guards what follows
		next  int
		bytes int64
		fail  error
		wg    sync.WaitGroup
	)
	take := func() func(*client) (moved, error) {
		mu.Lock()
		defer mu.Unlock()
		if fail != nil || next == len(jobs) {
			return nil
		}
		next++
		return jobs[next-1]
	}
	for _, c := range clients {
		wg.Go(func() {
			for job := take(); job != nil; job = take() {
				m, err := job(c)
				mu.Lock()
				bytes += m.bytes
				fail = errors.Join(fail, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return bytes, fail
}
