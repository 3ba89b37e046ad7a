package archivetest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Fault is what becomes of a request to a FaultyS3. nil is that it is answered.
type Fault func(w http.ResponseWriter, r *http.Request, answer http.Handler)

// FaultyS3 is an S3 server in this process that fails as it is told to.
type FaultyS3 struct {
	URL   string // for archive.OpenStore
	fault atomic.Pointer[Fault]
}

// StartFaultyS3 runs one until the test ends.
func StartFaultyS3(tb testing.TB) *FaultyS3 {
	tb.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("quorate"); err != nil {
		tb.Fatal(err)
	}
	answer := unchunked(gofakes3.New(backend).Server())
	s := &FaultyS3{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fault := s.fault.Load(); fault != nil {
			(*fault)(w, r, answer)
			return
		}
		answer.ServeHTTP(w, r)
	}))
	tb.Cleanup(server.Close)
	s.URL = "s3://quorate/p?endpoint=" + url.QueryEscape(server.URL)
	tb.Setenv("QUORATE_S3_ACCESS_KEY", AccessKey)
	tb.Setenv("QUORATE_S3_SECRET_KEY", SecretKey)
	return s
}

// unchunked decodes the bodies of parts of uploads, which come in signed chunks: the server decodes only those of whole objects.
func unchunked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("partNumber") && strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
			body, err := decodeChunks(bufio.NewReader(r.Body))
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			r.Header.Set("Content-Length", strconv.Itoa(len(body)))
			r.Header.Del("X-Amz-Content-Sha256")
		}
		next.ServeHTTP(w, r)
	})
}

// decodeChunks reads "size in hex;chunk-signature=…", CRLF, that many bytes, CRLF, until a chunk is empty.
func decodeChunks(r *bufio.Reader) (body []byte, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		text, _, _ := strings.Cut(line, ";")
		size, err := strconv.ParseUint(text, 16, 32)
		if err != nil || size == 0 {
			return body, err
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(r, chunk); err != nil {
			return nil, err
		}
		body = append(body, chunk[:size]...)
	}
}

// Set has all requests from now on fail like this; nil mends the server.
func (s *FaultyS3) Set(f Fault) {
	if f == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&f)
}

// Status answers with an error of S3.
func Status(status int, code string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body) // the client may have gone
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>&lt;script&gt;no&lt;/script&gt;</Message></Error>`, code)
	}
}

// Redirect sends the client to another host, which it must not follow.
func Redirect(to string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, to, http.StatusMovedPermanently)
	}
}

// AfterSuccess answers the request, and tells the client of a failure.
func AfterSuccess(w http.ResponseWriter, r *http.Request, answer http.Handler) {
	answer.ServeHTTP(httptest.NewRecorder(), r)
	Status(http.StatusInternalServerError, "InternalError")(w, r, answer)
}

// Lost says yes to what is put, and keeps none of it.
func Lost(w http.ResponseWriter, r *http.Request, answer http.Handler) {
	if r.Method != http.MethodPut {
		answer.ServeHTTP(w, r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body) // the client may have gone
	w.Header().Set("ETag", `"0"`)
}

// Garble changes the bodies of answers to GET.
func Garble(change func(body []byte) []byte) Fault {
	return func(w http.ResponseWriter, r *http.Request, answer http.Handler) {
		if r.Method != http.MethodGet {
			answer.ServeHTTP(w, r)
			return
		}
		got := httptest.NewRecorder()
		answer.ServeHTTP(got, r)
		body := change(got.Body.Bytes())
		for name, values := range got.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(got.Code)
		_, _ = w.Write(body) // short bodies end the connection, as a server that dies does
	}
}

// Reset ends the connection in the middle of an answer.
func Reset(w http.ResponseWriter, r *http.Request, answer http.Handler) {
	_, _ = io.CopyN(io.Discard, r.Body, 1000) // whatever came
	conn, _, err := w.(http.Hijacker).Hijack()
	if err = errors.Join(err, conn.Close()); err != nil {
		answer.ServeHTTP(w, r)
	}
}
