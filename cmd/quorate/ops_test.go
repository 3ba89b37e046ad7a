package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestOps_ReadyOnlyWhenEveryPartIs(t *testing.T) {
	well := errors.New("group 1 has no leader")
	ops, err := openOps("127.0.0.1:0", map[string]probe{
		"n1": func() error { return nil },
		"n2": func() error { return well },
	}, newMetrics(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + ops.Addr()
	if status, body := get(t, base+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "n2: group 1 has no leader") {
		t.Errorf("not ready: %d %s", status, body)
	}
	if status, body := get(t, base+"/healthz"); status != http.StatusOK || !strings.Contains(body, `"ok"`) {
		t.Errorf("alive: %d %s", status, body)
	}
	well = nil
	if status, body := get(t, base+"/readyz"); status != http.StatusOK {
		t.Errorf("ready: %d %s", status, body)
	}
	if status, _ := get(t, base+"/debug/pprof/goroutine?debug=1"); status != http.StatusOK {
		t.Errorf("profile: %d", status)
	}
	for range 2 { // Close is idempotent
		if err := ops.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := http.Get(base + "/healthz"); err == nil {
		t.Error("it answers after Close")
	}
}

func TestOps_NoneWithoutAnAddress(t *testing.T) {
	ops, err := openOps("", nil, newMetrics(), slog.New(slog.DiscardHandler))
	if err != nil || ops.Addr() != "" || ops.Close() != nil {
		t.Errorf("%v %q", err, ops.Addr())
	}
}
