package fleet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/scenario"
)

// Fleet is the workers of a coordinator.
type Fleet struct {
	Workers  []string // http://HOST:PORT
	Key      string
	Progress func(scenario.Progress)
	Marks    <-chan string // what happens to the cluster, for the charts; nil: nothing
}

// part is what the coordinator knows of one worker's part.
type part struct {
	url    string
	at     scenario.Progress
	result *measure.Result
}

// Run makes one run of all workers. The end of ctx cuts it short, and what was measured by then is the result.
func (f *Fleet) Run(ctx context.Context, s scenario.Settings) (*measure.Result, error) {
	s.Parts = len(f.Workers)
	if s.Run == "" {
		s.Run = strconv.FormatInt(time.Now().UnixNano(), 36)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var passing sync.WaitGroup
	defer passing.Wait()
	defer cancel()
	parts := make([]*part, len(f.Workers))
	ready, errs := make(chan int, len(parts)), make(chan error, len(parts))
	var mu sync.Mutex
	for i, at := range f.Workers {
		parts[i] = &part{url: at}
		mine := s
		mine.Part = i
		go func() {
			err := f.follow(running, at, &mine, func(l line) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case l.Ready:
					ready <- i
				case l.Progress != nil:
					parts[i].at = *l.Progress
					f.tell(parts)
				case l.Result != nil:
					parts[i].result = l.Result
				}
			})
			if err != nil {
				err = fmt.Errorf("worker %s: %w", at, err)
			}
			errs <- err
		}()
	}
	passing.Go(func() { f.passMarks(running) })
	stop := context.AfterFunc(ctx, func() { _ = f.post(running, "/cut") }) // those that do not hear it end by themselves
	defer stop()
	for begun, ended := 0, 0; ended < len(parts); {
		select {
		case <-ready:
			if begun++; begun == len(parts) {
				if err := f.post(running, "/start"); err != nil {
					return nil, err
				}
			}
		case err := <-errs:
			if err != nil {
				_ = f.post(running, "/cut") // the run is over for all
				return nil, err
			}
			ended++
		}
	}
	return merged(parts)
}

// passMarks hands marks on to the first worker until ctx ends.
func (f *Fleet) passMarks(ctx context.Context) {
	for {
		select {
		case what := <-f.Marks:
			if answer, err := f.do(ctx, f.Workers[0]+"/mark", []byte(what)); err == nil { // a mark that does not arrive is missing on a chart
				answer.Body.Close()
			}
		case <-ctx.Done():
			return
		}
	}
}

func merged(parts []*part) (*measure.Result, error) {
	res := parts[0].result
	for _, p := range parts {
		if p.result == nil {
			return nil, fmt.Errorf("worker %s gave no result", p.url)
		}
		if p != parts[0] {
			res.Merge(p.result)
		}
	}
	return res, nil
}

// tell sums up where the parts are.
func (f *Fleet) tell(parts []*part) {
	if f.Progress == nil {
		return
	}
	sum := parts[0].at
	for _, p := range parts[1:] {
		sum.Sent += p.at.Sent
		sum.Done += p.at.Done
		sum.PerS += p.at.PerS
		sum.Errors += p.at.Errors
		sum.Broken += p.at.Broken
		sum.P99 = max(sum.P99, p.at.P99)
	}
	f.Progress(sum)
}

// follow has a worker carry out a part, and tells each line of its answer.
func (f *Fleet) follow(ctx context.Context, at string, s *scenario.Settings, tell func(line)) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	answer, err := f.do(ctx, at+"/run", body)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it is read to its end
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return err
		}
		if l.Error != "" {
			if l.Settings {
				return fmt.Errorf("%w: %s", scenario.ErrSettings, l.Error)
			}
			return errors.New(l.Error)
		}
		if tell(l); l.Result != nil {
			return nil
		}
	}
	return errors.Join(lines.Err(), io.ErrUnexpectedEOF)
}

// post tells all workers something.
func (f *Fleet) post(ctx context.Context, what string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, at := range f.Workers {
		answer, err := f.do(ctx, at+what, nil)
		if err != nil {
			return fmt.Errorf("worker %s: %w", at, err)
		}
		answer.Body.Close()
	}
	return nil
}

func (f *Fleet) do(ctx context.Context, url string, body []byte) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if f.Key != "" {
		q.Header.Set(keyHeader, f.Key)
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close() //nolint:errcheck // it is read
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return nil, fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(text))
	}
	return answer, nil
}
