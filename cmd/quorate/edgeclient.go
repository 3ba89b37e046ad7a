package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const (
	callTimeout  = 10 * time.Second       // of one attempt
	retryFor     = 20 * time.Second       // of all attempts of one call
	retryPause   = 200 * time.Millisecond // where the answer names no other
	maxAnswer    = 32 << 20               // bytes: a page of 500 messages of 16 KiB each, escaped, is less
	maxFrame     = 256 << 10              // bytes: one message of 16 KiB, escaped, is less
	reconnectMax = 5 * time.Second
)

// edgeClient speaks REST and WebSocket to one delivery node, as one user.
type edgeClient struct {
	base, token string
	http        *http.Client
}

func newEdgeClient(base, token string) *edgeClient {
	return &edgeClient{base: base, token: token, http: &http.Client{Timeout: callTimeout}}
}

// problem is an error answer of the delivery node.
type problem struct {
	Status       int    `json:"status"`
	Code         string `json:"code"`
	Detail       string `json:"detail"`
	Temporary    bool   `json:"temporary"`
	RetryAfterMs int64  `json:"retryAfterMs"`
}

// Error gives the code and what the node says about it.
func (p *problem) Error() string {
	if p.Detail == "" {
		return p.Code
	}
	return p.Code + ": " + p.Detail
}

// retry is call, again while the answer says that it may work later. The calls are idempotent: a message carries its
// clientMessageId.
func (e *edgeClient) retry(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, retryFor)
	defer cancel()
	for {
		err := e.call(ctx, method, path, body, into)
		var p *problem
		if err == nil || !errors.As(err, &p) || !p.Temporary {
			return err
		}
		if pause(ctx, max(retryPause, time.Duration(p.RetryAfterMs)*time.Millisecond)) != nil {
			return err
		}
	}
}

// call makes one request. into is filled from an answer of 200 or 201; any other is an error, a *problem where the node
// tells what is wrong.
func (e *edgeClient) call(ctx context.Context, method, path string, body, into any) error {
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, e.base+path, payload)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+e.token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := e.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("answer of %s: %w", path, err)
	}
	if answer.StatusCode/100 != 2 {
		p := &problem{}
		if json.Unmarshal(text, p) != nil || p.Code == "" {
			return fmt.Errorf("%s answered %s", e.base, answer.Status)
		}
		return p
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("answer of %s: %w", path, err)
	}
	return nil
}

// tail hands every message of the chat from sequence number from on to show, in order, until ctx is done; then it returns
// nil. from 0 is "what comes from now on". A lost connection is made again from the next message.
func (e *edgeClient) tail(ctx context.Context, chat string, from uint64, show func(message) error) error {
	if from == 0 { // only with a number in hand does a reconnect leave no gap
		var c struct {
			LastSeq uint64 `json:"lastSeq"`
		}
		if err := e.retry(ctx, "GET", chatPath(chat, ""), nil, &c); err != nil {
			return err
		}
		from = c.LastSeq + 1
	}
	for wait := retryPause; ; wait = min(2*wait, reconnectMax) {
		before := from
		err := e.stream(ctx, chat, &from, show)
		if ctx.Err() != nil {
			return nil
		}
		if permanent(err) {
			return err
		}
		if from > before {
			wait = retryPause
		}
		if pause(ctx, wait) != nil {
			return nil
		}
	}
}

// errShow marks an error of the one who is shown the messages, not of the connection.
var errShow = errors.New("could not print")

// stream shows messages from *next on over one connection, and keeps *next at the one to come.
func (e *edgeClient) stream(ctx context.Context, chat string, next *uint64, show func(message) error) error {
	address := "ws" + strings.TrimPrefix(e.base, "http") + chatPath(chat, "stream") + "?cursor=" + strconv.FormatUint(*next, 10)
	dialing, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, answer, err := websocket.Dial(dialing, address, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + e.token}},
	})
	if err != nil {
		return refusal(answer, err)
	}
	defer conn.CloseNow() //nolint:errcheck // the connection is over either way
	conn.SetReadLimit(maxFrame)
	for {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if ctx.Err() != nil { // a frame that had come already
			return ctx.Err()
		}
		var m message
		if err := json.Unmarshal(frame, &m); err != nil {
			return fmt.Errorf("frame of %s: %w", chat, err)
		}
		if m.SequenceNumber < *next {
			continue
		}
		if err := show(m); err != nil {
			return fmt.Errorf("%w: %w", errShow, err)
		}
		*next = m.SequenceNumber + 1 // numbers from before the user joined again are not the user's to see
	}
}

// refusal is the problem that the node answered a handshake with, or err.
func refusal(answer *http.Response, err error) error {
	if answer == nil || answer.Body == nil {
		return err
	}
	p := &problem{Status: answer.StatusCode}
	if json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(p) == nil && p.Code != "" {
		return p
	}
	return err
}

// permanent says that the same stream will not work later either.
func permanent(err error) bool {
	var p *problem
	if errors.As(err, &p) {
		return !p.Temporary
	}
	code := websocket.CloseStatus(err)
	return errors.Is(err, errShow) || (code >= 4500 && code < 4600)
}

// pause waits for d, or fails when ctx is done first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
