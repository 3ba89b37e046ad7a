// Package pushtest has servers that stand for those of browsers' push services, Apple, Firebase and users' webhooks. Each checks of a
// request what the real one checks, answers as that does, and keeps what it took. They listen on loopback with TLS; CAFile names the
// authority, the same for all. It uses nothing of the code that it tests.
package pushtest

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Received is a notification that a server took.
type Received struct {
	At          time.Time
	Device      string // its endpoint or token
	CollapseKey string
	Title, Body string // a webhook has the chat's name and the message's text
	Payload     []byte // the JSON that the device gets, decrypted
	Header      http.Header
}

// Answer is what a server says to a request that is good, instead of taking it.
type Answer struct {
	Status     int
	Reason     string // Apple's reason, Firebase's error code: the body is made of it
	Body       string // otherwise
	RetryAfter string
	Location   string
}

// Server is what all of them have.
type Server struct {
	URL    string
	CAFile string // PEM

	http  *httptest.Server
	judge func(r *http.Request, body []byte) (Received, *Answer) // the answer is nil where the notification is taken
	body  func(a Answer) string                                  // of an answer with a reason
	taken int                                                    // the status for what is taken

	mu       sync.Mutex
	changed  chan struct{} // closed when received grows
	requests int
	script   []Answer
	always   *Answer
	down     bool
	slow     time.Duration
	received []Received
	faults   []string
}

// start serves TLS with HTTP/2 on loopback until the test ends.
func (s *Server) start(t testing.TB) {
	t.Helper()
	s.changed = make(chan struct{})
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.EnableHTTP2 = true
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.http.StartTLS()
	t.Cleanup(s.http.Close)
	s.URL = s.http.URL
	s.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
	if err := os.WriteFile(s.CAFile, authority, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Host is host:port, as an operator allows it.
func (s *Server) Host() string { return strings.TrimPrefix(s.URL, "https://") }

// Script has the next good requests answered so, one after the other.
func (s *Server) Script(answers ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, answers...)
}

// Always has all good requests answered so that the script says nothing of; nil has them taken again.
func (s *Server) Always(a *Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = a
}

// Down has the server break connections instead of answering.
func (s *Server) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Slow has it wait before it looks at a request.
func (s *Server) Slow(wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = wait
}

// Received gives what was taken, in order.
func (s *Server) Received() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Received(nil), s.received...)
}

// Await waits until n notifications were taken, and gives them all; the test ends where they do not come.
func (s *Server) Await(t testing.TB, n int, patience time.Duration) []Received {
	t.Helper()
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		all, changed := append([]Received(nil), s.received...), s.changed
		s.mu.Unlock()
		if len(all) >= n {
			return all
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%d notifications came, want %d; faults: %q", len(all), n, s.Faults())
		}
	}
}

// Keys counts the notifications that were taken by their collapse keys.
func (s *Server) Keys() map[string]int {
	keys := map[string]int{}
	for _, r := range s.Received() {
		keys[r.CollapseKey]++
	}
	return keys
}

// Requests counts all that came, good or not.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Faults says what was wrong with requests that no real server would take.
func (s *Server) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.faults...)
}

// Forget drops what was received, counted and found.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.received, s.faults = 0, nil, nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	down, slow := s.down, s.slow
	s.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-r.Context().Done():
			return
		}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	got, refusal := s.judge(r, body)
	if refusal == nil {
		refusal = s.next()
	}
	if refusal != nil {
		s.say(w, *refusal)
		return
	}
	got.At, got.Header = time.Now(), r.Header.Clone()
	s.take(got)
	w.WriteHeader(s.taken)
	if s.taken == http.StatusOK {
		_, _ = io.WriteString(w, "{}")
	}
}

// next gives what the script says.
func (s *Server) next() *Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.script) == 0 {
		return s.always
	}
	a := s.script[0]
	s.script = s.script[1:]
	return &a
}

func (s *Server) take(got Received) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, got)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) say(w http.ResponseWriter, a Answer) {
	if a.RetryAfter != "" {
		w.Header().Set("Retry-After", a.RetryAfter)
	}
	if a.Location != "" {
		w.Header().Set("Location", a.Location)
	}
	if a.Reason != "" {
		a.Body = s.body(a)
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.Status)
	_, _ = io.WriteString(w, a.Body)
}

// fault keeps what is wrong with a request, and gives the answer to it.
func (s *Server) fault(status int, reason, what string) *Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, what)
	return &Answer{Status: status, Reason: reason, Body: what}
}
