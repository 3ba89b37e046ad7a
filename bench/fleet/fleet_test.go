//go:build linux

package fleet

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/bench/benchtest"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/scenario"
)

func startWorkers(t *testing.T, n int, key string) (urls []string) {
	t.Helper()
	for range n {
		s := httptest.NewServer(NewWorker(key, scenario.Access{
			Token: benchtest.PlainToken,
		}).Handler())
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	return urls
}

func TestFleet_PartsAreOneRun(t *testing.T) {
	target, key := benchtest.Start(t, 1).Target, Key([]byte("a secret"))
	marks := make(chan string)
	f := &Fleet{Workers: startWorkers(t, 3, key), Key: key, Marks: marks}
	s := scenario.Settings{
		Scenario: "live", Targets: []string{target}, Chats: 7, Rate: 150, Warmup: 100 * time.Millisecond, For: time.Second,
	}
	var once sync.Once
	f.Progress = func(p scenario.Progress) {
		if p.Phase == "measure" {
			once.Do(func() { go func() { marks <- "a fault" }() })
		}
	}
	marked := false
	for range 2 { // workers are there for the next run too
		res, err := f.Run(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if o := res.Ops[0]; res.Workers != 3 || o.Done < 145 || o.Done > 152 || o.Errors != 0 || res.Checks.Total() != 0 || res.Cut {
			t.Errorf("%d workers, %+v, %+v", res.Workers, res.Ops[0], res.Checks)
		}
		marked = marked || slices.ContainsFunc(res.Marks, func(m measure.Mark) bool { return m.What == "a fault" })
	}
	if !marked {
		t.Error("what was told to the coordinator is marked nowhere")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	s.For = time.Minute
	if res, err := f.Run(ctx, s); err != nil || !res.Cut || res.Ops[0].Done == 0 {
		t.Errorf("cut short: %v %+v", err, res)
	}
}

func TestFleet_Refusals(t *testing.T) {
	key := Key([]byte("a secret"))
	f := &Fleet{Workers: startWorkers(t, 2, key), Key: key}
	s := scenario.Settings{Scenario: "live", Targets: []string{"http://127.0.0.1:1"}}
	if _, err := f.Run(t.Context(), s); !errors.Is(err, scenario.ErrSettings) {
		t.Errorf("settings: %v", err)
	}
	f.Key = Key([]byte("another"))
	if _, err := f.Run(t.Context(), s); err == nil {
		t.Error("a coordinator with another secret was served")
	}
	f.Workers = append(f.Workers, "http://127.0.0.1:1")
	if _, err := f.Run(t.Context(), s); err == nil {
		t.Error("a worker that is not there was taken for one")
	}
	for _, at := range f.Workers[:2] {
		if r, err := http.Post(at+"/run", "", nil); err != nil || r.StatusCode != http.StatusUnauthorized {
			t.Errorf("without a key: %v %v", r, err)
		}
	}
}

// TestFleet_WithoutAKey is a worker that serves every coordinator on its machine.
func TestFleet_WithoutAKey(t *testing.T) {
	f := &Fleet{Workers: startWorkers(t, 2, Key(nil)), Key: Key(nil)}
	s := scenario.Settings{
		Scenario: "live", Targets: []string{benchtest.Start(t, 1).Target}, Chats: 4, Rate: 50, Warmup: 50 * time.Millisecond, For: 300 * time.Millisecond,
	}
	if res, err := f.Run(t.Context(), s); err != nil || res.Workers != 2 || res.Ops[0].Done == 0 {
		t.Errorf("%v %+v", err, res)
	}
}
