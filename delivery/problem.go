package delivery

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// code is the machine-readable reason of a refusal, the same over REST and WebSocket.
type code string

// The codes of the API.
const (
	codeBadRequest      code = "bad_request"
	codeUnauthenticated code = "unauthenticated"
	codeNotFound        code = "not_found"
	codeConflict        code = "conflict"
	codeTooLarge        code = "too_large"
	codeRateLimited     code = "rate_limited"
	codeOverloaded      code = "overloaded"
	codeUnavailable     code = "unavailable"
	codeTimeoutUnknown  code = "timeout_unknown"
	codeInternal        code = "internal"
)

// codeFacts is what every refusal with a code has in common. retryAfter is 0 where the same request will not succeed later,
// and where the rate limiter knows better.
type codeFacts struct {
	status     int
	title      string
	temporary  bool
	retryAfter time.Duration
}

var codes = map[code]codeFacts{
	codeBadRequest:      {http.StatusBadRequest, "The request is malformed", false, 0},
	codeUnauthenticated: {http.StatusUnauthorized, "A valid token is required", false, 0},
	codeNotFound:        {http.StatusNotFound, "There is no such thing for this user", false, 0},
	codeConflict:        {http.StatusConflict, "The id is taken by something else", false, 0},
	codeTooLarge:        {http.StatusRequestEntityTooLarge, "A size limit is exceeded", false, 0},
	codeRateLimited:     {http.StatusTooManyRequests, "Too many requests", true, 0},
	codeOverloaded:      {http.StatusServiceUnavailable, "A queue is full", true, 500 * time.Millisecond},
	codeUnavailable:     {http.StatusServiceUnavailable, "The service cannot answer at the moment", true, time.Second},
	codeTimeoutUnknown:  {http.StatusGatewayTimeout, "The outcome is not known", true, 500 * time.Millisecond},
	codeInternal:        {http.StatusInternalServerError, "An internal error", false, 0},
}

// problem is a refusal. It is an error, so handlers return it; the edge of the handler writes it as problem+json or as an
// error frame. detail is for people and never holds what the client may not know.
type problem struct {
	code       code
	status     int // 0: the code's own
	detail     string
	retryAfter time.Duration
}

// refuse makes a problem.
func refuse(c code, detail string) *problem {
	return &problem{code: c, detail: detail, retryAfter: codes[c].retryAfter}
}

// Error gives code and detail.
func (p *problem) Error() string { return string(p.code) + ": " + p.detail }

func (p *problem) httpStatus() int {
	if p.status != 0 {
		return p.status
	}
	return codes[p.code].status
}

// notFound is the one answer for a chat that does not exist and for one that the user is not a member of.
func notFound() *problem { return refuse(codeNotFound, "no such chat") }

// problemOf turns any error into the refusal a client sees. Errors it does not know become internal, with a detail that
// tells nothing; isInternal says which those are, so that their owner can log them.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	for _, row := range wireProblems {
		if errors.Is(err, row.is) {
			return row.problem(err)
		}
	}
	var moved *wire.MovedError
	if errors.As(err, &moved) {
		return refuse(codeUnavailable, "leadership is on the move")
	}
	return refuse(codeInternal, "internal error")
}

// wireProblems maps the typed errors of the sequencer. The order matters where an error wraps two: an outcome that is not
// known stays not known even where a deadline ended the wait.
var wireProblems = []struct {
	is      error
	problem func(error) *problem
}{
	{wire.ErrUnknown, fixed(codeTimeoutUnknown, "the outcome is not known; send again with the same clientMessageId")},
	{errJSON, func(err error) *problem { return refuse(codeBadRequest, err.Error()) }},
	{wire.ErrTooLarge, detailed(codeTooLarge, wire.ErrTooLarge)},
	{wire.ErrBadRequest, detailed(codeBadRequest, wire.ErrBadRequest)},
	{wire.ErrNotMember, fixed(codeNotFound, "no such chat")},
	{wire.ErrNoChat, fixed(codeNotFound, "no such chat")},
	{wire.ErrConflict, fixed(codeConflict, "the id is taken by something else")},
	{wire.ErrBusy, fixed(codeOverloaded, "a queue is full")},
	{wire.ErrTryAgain, fixed(codeUnavailable, "leadership is on the move")},
	{wire.ErrClusterDown, fixed(codeUnavailable, "the sequencer has no leader for this chat")},
	{errArchive, fixed(codeUnavailable, "these messages are in the archive, which does not answer")},
	{wire.ErrClosed, fixed(codeUnavailable, "this edge is draining")},
	{context.DeadlineExceeded, fixed(codeUnavailable, "the sequencer did not answer in time")},
	{context.Canceled, fixed(codeUnavailable, "the request was cancelled")},
}

func fixed(c code, detail string) func(error) *problem {
	return func(error) *problem { return refuse(c, detail) }
}

// readFault is the error of a call that only reads: where it had no answer there is no outcome to be unsure of.
func readFault(err error) error {
	if errors.Is(err, wire.ErrUnknown) {
		return refuse(codeUnavailable, "the sequencer did not answer in time")
	}
	return err
}

// detailed keeps the text behind the sentinel: it says which field is wrong and how.
func detailed(c code, sentinel error) func(error) *problem {
	return func(err error) *problem {
		text := err.Error()
		if i := strings.LastIndex(text, sentinel.Error()); i >= 0 {
			text = text[i+len(sentinel.Error()):]
		}
		if text = strings.TrimLeft(text, ": "); text == "" {
			text = codes[c].title
		}
		return refuse(c, text)
	}
}

// appendProblem appends the members that REST and WebSocket errors share, without the braces.
func appendProblem(dst []byte, p *problem) []byte {
	dst = append(dst, `"code":"`...)
	dst = append(dst, p.code...)
	dst = append(dst, `","detail":`...)
	dst = appendJSONString(dst, p.detail)
	dst = append(dst, `,"temporary":`...)
	dst = strconv.AppendBool(dst, codes[p.code].temporary)
	if p.retryAfter > 0 {
		dst = append(dst, `,"retryAfterMs":`...)
		dst = strconv.AppendInt(dst, ceilMillis(p.retryAfter), 10)
	}
	return dst
}

// ceilMillis rounds up, so that nobody comes back too early.
func ceilMillis(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// writeProblem answers a request with a refusal as application/problem+json.
func writeProblem(w http.ResponseWriter, p *problem) {
	body := append(make([]byte, 0, 256), `{"type":"urn:quorate:problem:`...)
	body = append(body, p.code...)
	body = append(body, `","title":`...)
	body = appendJSONString(body, codes[p.code].title)
	body = append(body, `,"status":`...)
	body = strconv.AppendInt(body, int64(p.httpStatus()), 10)
	body = append(body, ',')
	body = append(appendProblem(body, p), "}\n"...)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.code == codeUnauthenticated {
		h.Set("WWW-Authenticate", `Bearer realm="quorate"`)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.retryAfter+time.Second-1)/time.Second), 10))
	}
	writeBody(w, p.httpStatus(), body)
}

// writeJSON answers a request with a body that is already JSON.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	writeBody(w, status, append(body, '\n'))
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error here means that the client has gone, and nobody else is left to tell
}
