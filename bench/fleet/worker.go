package fleet

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/quorate/quorate/bench/scenario"
)

// Key is what a coordinator shows to a worker: both have the secret that the users' tokens are signed with. Without one it is "", and
// the worker listens on loopback only.
func Key(secret []byte) string {
	if len(secret) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("quorate bench worker"))
	return hex.EncodeToString(mac.Sum(nil))
}

// keyHeader holds the key; there is none where the key is "".
const keyHeader = "Quorate-Bench-Key"

// Worker carries out parts of runs, one at a time.
type Worker struct {
	key    string
	access scenario.Access

	mu    sync.Mutex
	under string // the run that is under way, "" for none
	start chan struct{}
	cut   context.CancelFunc
	marks chan string // from the coordinator, for that run
}

// NewWorker makes a worker that serves coordinators who show the key.
func NewWorker(key string, access scenario.Access) *Worker {
	return &Worker{key: key, access: access}
}

// Handler serves coordinators.
func (w *Worker) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /run", w.run)
	mux.HandleFunc("POST /start", func(_ http.ResponseWriter, _ *http.Request) { w.release() })
	mux.HandleFunc("POST /cut", func(_ http.ResponseWriter, _ *http.Request) { w.stop() })
	mux.HandleFunc("POST /mark", w.mark)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get(keyHeader)), []byte(w.key)) != 1 {
			http.Error(rw, "not a coordinator of this worker's", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(rw, r)
	})
}

// run carries out a part, and answers with lines.
func (w *Worker) run(rw http.ResponseWriter, r *http.Request) {
	var s scenario.Settings
	if err := json.NewDecoder(io.LimitReader(r.Body, maxSettings)).Decode(&s); err != nil {
		http.Error(rw, "settings: "+err.Error(), http.StatusBadRequest)
		return
	}
	ctx, start, err := w.begin(r.Context(), s.Run)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusConflict)
		return
	}
	defer w.end()
	var mu sync.Mutex
	out := json.NewEncoder(rw)
	tell := func(l line) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(l) // a coordinator that has gone ends the run by ctx
		_ = http.NewResponseController(rw).Flush()
	}
	access := w.access
	access.Marks = w.marks
	access.Progress = func(p scenario.Progress) { tell(line{Progress: &p}) }
	access.Ready = func(ctx context.Context) error {
		tell(line{Ready: true})
		select {
		case <-start:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(readyTime):
			return errors.New("the coordinator did not start the run")
		}
	}
	res, err := scenario.Run(ctx, s, access)
	if err != nil {
		tell(line{Error: err.Error(), Settings: errors.Is(err, scenario.ErrSettings)})
		return
	}
	tell(line{Result: res})
}

// mark takes what is to be marked on the charts, the body. What comes while there is no run, or too much at once, is nobody's.
func (w *Worker) mark(_ http.ResponseWriter, r *http.Request) {
	what, err := io.ReadAll(io.LimitReader(r.Body, maxMark))
	if err != nil || len(what) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.under == "" {
		return
	}
	select {
	case w.marks <- string(what):
	default:
	}
}

const (
	maxMark  = 200 // bytes of a mark's text
	maxMarks = 16  // that the run has not taken
)

func (w *Worker) begin(ctx context.Context, run string) (context.Context, chan struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.under != "" {
		return nil, nil, errors.New("this worker has a run under way")
	}
	w.under, w.start, w.marks = run+".", make(chan struct{}), make(chan string, maxMarks)
	ctx, w.cut = context.WithCancel(ctx)
	return ctx, w.start, nil
}

func (w *Worker) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut()
	w.under, w.start, w.cut = "", nil, nil
}

func (w *Worker) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.start != nil {
		close(w.start)
		w.start = nil
	}
}

func (w *Worker) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut != nil {
		w.cut()
	}
}
