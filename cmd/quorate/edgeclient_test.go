package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// stream answers a chat's stream from the cursor on with two messages, and then loses the connection.
func stream(t *testing.T, w http.ResponseWriter, r *http.Request) {
	cursor, err := strconv.ParseUint(r.URL.Query().Get("cursor"), 10, 64)
	if err != nil || r.Header.Get("Authorization") != "Bearer secret" {
		t.Errorf("%s with %v", r.URL, r.Header)
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.CloseNow() //nolint:errcheck // losing it is the point
	for seq := cursor - 1; seq < cursor+2; seq++ {
		raw, err := json.Marshal(message{SequenceNumber: seq, Text: strconv.FormatUint(seq, 10)})
		if err != nil {
			t.Error(err)
		}
		if err := conn.Write(r.Context(), websocket.MessageText, raw); err != nil {
			return
		}
	}
}

func TestTail_ComesBackWithoutGapOrRepeat(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chats/tea" {
			fmt.Fprint(w, `{"chatId":"tea","lastSeq":6}`)
			return
		}
		stream(t, w, r)
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen []uint64
	err := newEdgeClient(server.URL, "secret").tail(ctx, "tea", 0, func(m message) error {
		if seen = append(seen, m.SequenceNumber); len(seen) == 5 {
			cancel()
		}
		return nil
	})
	if want := []uint64{7, 8, 9, 10, 11}; err != nil || !slices.Equal(seen, want) {
		t.Errorf("%v: %v, want %v", err, seen, want)
	}
}

func TestTail_EndsWhereItCanNeverWork(t *testing.T) {
	closing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close(4501, "token expired")
	}))
	defer closing.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"status":404,"code":"not_found","detail":"no such chat"}`)
	}))
	defer refusing.Close()
	none := func(message) error { return nil }
	if err := newEdgeClient(closing.URL, "t").tail(t.Context(), "tea", 1, none); websocket.CloseStatus(err) != 4501 {
		t.Errorf("closed for good: %v", err)
	}
	if err := newEdgeClient(refusing.URL, "t").tail(t.Context(), "tea", 1, none); err == nil || err.Error() != "not_found: no such chat" {
		t.Errorf("refused for good: %v", err)
	}
	full := errors.New("the disk is full")
	open := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { stream(t, w, r) }))
	defer open.Close()
	if err := newEdgeClient(open.URL, "secret").tail(t.Context(), "tea", 1, func(message) error { return full }); !errors.Is(err, full) {
		t.Errorf("nobody to show it to: %v", err)
	}
}

func TestRetry_UntilItWorksOrNeverWill(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"status":503,"code":"unavailable","temporary":true,"retryAfterMs":1}`)
		case 2:
			fmt.Fprint(w, `{"sequenceNumber":3}`)
		default:
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"status":409,"code":"conflict","detail":"other text"}`)
		}
	}))
	defer server.Close()
	api := newEdgeClient(server.URL, "t")
	var got message
	if err := api.retry(t.Context(), "POST", "/x", map[string]string{}, &got); err != nil || got.SequenceNumber != 3 || calls.Load() != 2 {
		t.Errorf("%v: %+v after %d calls", err, got, calls.Load())
	}
	if err := api.retry(t.Context(), "POST", "/x", nil, &got); err == nil || err.Error() != "conflict: other text" || calls.Load() != 3 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

func TestHistory_PageByPage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cursor, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		page := map[string]any{"nextCursor": nil}
		var messages []message
		for seq := cursor; seq < cursor+limit && seq <= 1200; seq++ {
			messages = append(messages, message{SequenceNumber: uint64(seq)})
		}
		if cursor+limit <= 1200 {
			page["nextCursor"] = cursor + limit
		}
		page["messages"] = messages
		if err := json.NewEncoder(w).Encode(page); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	api := newEdgeClient(server.URL, "t")
	for _, c := range []struct {
		from        uint64
		limit, want int
	}{{1, 0, 1200}, {1, 7, 7}, {400, 600, 600}, {1199, 50, 2}} {
		got, err := api.history(t.Context(), "tea", c.from, c.limit)
		if err != nil || len(got) != c.want || got[0].SequenceNumber != c.from || got[len(got)-1].SequenceNumber != c.from+uint64(c.want)-1 {
			t.Errorf("from %d, limit %d: %v, %d messages", c.from, c.limit, err, len(got))
		}
	}
}
