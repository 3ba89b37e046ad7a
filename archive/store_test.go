package archive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/archive/archivetest"
)

func open(t testing.TB, url string) archive.Store {
	t.Helper()
	store, err := archive.OpenStore(url)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestStore_Directory(t *testing.T) { archivetest.Run(t, dirStore(t)) }

func TestStore_FakeS3(t *testing.T) { archivetest.Run(t, open(t, archivetest.StartFaultyS3(t).URL)) }

func TestStore_MinIO(t *testing.T) { archivetest.Run(t, open(t, archivetest.StartMinIO(t, "").URL)) }

func TestOpenStore_SaysWhatIsWrong(t *testing.T) {
	for url, says := range map[string]string{
		"": "file:/// or s3://", "/a/dir": "file:/// or s3://", "http://x": "file:/// or s3://",
		"file://host/dir": "file:///ABSOLUTE", "file:///a?x=1": "file:///ABSOLUTE", "file:dir": "file:///ABSOLUTE",
		"s3://b/p": "endpoint", "s3://b?endpoint=ftp://x": "endpoint", "s3://b?endpoint=http://x/path": "endpoint",
		"s3://b?endpoint=http://u:p@x": "endpoint", "s3://b?endpoint=http://x&colour=red": `"colour"`, "s3://u:p@b?endpoint=http://x": "environment",
		"s3:///p?endpoint=http://x": "BUCKET", "s3://b/../x?endpoint=http://x": "BUCKET", "s3://b/%zz": "URL",
	} {
		if _, err := archive.OpenStore(url); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestStore_FailuresHaveTheirType has an S3 server fail in all ways: nothing is ever taken for done that is not, and nothing short
// for whole.
func TestStore_FailuresHaveTheirType(t *testing.T) {
	s3 := archivetest.StartFaultyS3(t)
	store := open(t, s3.URL)
	body := bytes.Repeat([]byte("0123456789"), 1000)
	put := func() error { return store.Put(t.Context(), "a/b", bytes.NewReader(body), int64(len(body))) }
	if err := put(); err != nil {
		t.Fatal(err)
	}
	elsewhere := archivetest.StartFaultyS3(t) // would answer
	for what, c := range map[string]struct {
		fault    archivetest.Fault
		get, put error // nil is not asked
	}{
		"503":           {archivetest.Status(http.StatusServiceUnavailable, "SlowDown"), archive.ErrUnavailable, archive.ErrUnavailable},
		"500":           {archivetest.Status(http.StatusInternalServerError, "InternalError"), archive.ErrUnavailable, archive.ErrUnavailable},
		"403":           {archivetest.Status(http.StatusForbidden, "AccessDenied"), archive.ErrDenied, archive.ErrDenied},
		"clock skew":    {archivetest.Status(http.StatusForbidden, "RequestTimeTooSkewed"), archive.ErrDenied, archive.ErrDenied},
		"no bucket":     {archivetest.Status(http.StatusNotFound, "NoSuchBucket"), archive.ErrUnavailable, archive.ErrUnavailable},
		"redirect":      {archivetest.Redirect(elsewhere.URL), archive.ErrUnavailable, archive.ErrUnavailable},
		"after success": {archivetest.AfterSuccess, nil, archive.ErrUnavailable},
		"reset":         {archivetest.Reset, archive.ErrUnavailable, archive.ErrUnavailable},
		"cut short":     {archivetest.Garble(func(b []byte) []byte { return b[:len(b)/2] }), archive.ErrUnavailable, nil},
		"not XML":       {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusTeapot) }, archive.ErrUnavailable, archive.ErrUnavailable},
		"the whole body": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Last-Modified", "Mon, 02 Jan 2026 15:04:05 GMT")
			_, _ = w.Write(body)
		}, archive.ErrCorrupt, nil},
	} {
		s3.Set(c.fault)
		if c.get != nil {
			if b, err := store.Get(t.Context(), "a/b", 10, 5000); !errors.Is(err, c.get) {
				t.Errorf("%s: get: %d bytes, %v", what, len(b), err)
			}
		}
		if c.put != nil {
			if err := put(); !errors.Is(err, c.put) {
				t.Errorf("%s: put: %v", what, err)
			}
		}
		s3.Set(nil)
	}
	held := make(chan struct{})
	s3.Set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := store.Get(ctx, "a/b", 0, 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a store that does not answer: %v", err)
	}
	close(held)
	s3.Set(nil)
	if b, err := store.Get(t.Context(), "a/b", 10, 5000); err != nil || !bytes.Equal(b, body[10:5010]) {
		t.Errorf("mended: %d bytes, %v", len(b), err)
	}
}

// TestStore_ListsThatLie: what a store says of what it holds is not believed where it cannot be.
func TestStore_ListsThatLie(t *testing.T) {
	s3 := archivetest.StartFaultyS3(t)
	store := open(t, s3.URL)
	page := func(truncated string, keys ...string) archivetest.Fault {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			var b strings.Builder
			b.WriteString(`<ListBucketResult><Name>quorate</Name><IsTruncated>` + truncated + `</IsTruncated><NextContinuationToken>again</NextContinuationToken>`)
			for _, key := range keys {
				b.WriteString(`<Contents><Key>` + key + `</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`)
			}
			b.WriteString(`</ListBucketResult>`)
			_, _ = w.Write([]byte(b.String()))
		}
	}
	for what, c := range map[string]struct {
		fault archivetest.Fault
		seen  int
		fails bool
	}{
		"the same page for ever":  {page("true", "p/in/a", "p/in/b"), 2, true},
		"of another prefix":       {page("false", "q/in/a"), 0, true},
		"outside of the prefix":   {page("false", "p/out/a"), 0, true},
		"names that are not ours": {page("false", "p/in/&#x0A;x", "p/in/../../etc", "p/in/z"), 1, false},
		"an entity": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			_, _ = w.Write([]byte(`<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><ListBucketResult><Contents><Key>&e;</Key></Contents></ListBucketResult>`))
		}, 0, true},
		"cut short": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			_, _ = w.Write([]byte(`<ListBucketResult><Contents>`))
		}, 0, true},
	} {
		s3.Set(c.fault)
		seen := 0
		err := store.List(t.Context(), "in/", func(archive.Object) error { seen++; return nil })
		if seen != c.seen || (err != nil) != c.fails {
			t.Errorf("%s: %d objects, %v", what, seen, err)
		}
	}
}

// TestStore_OneThatHangsIsLeft has a server that takes requests and says nothing, or stops in the middle of an answer.
func TestStore_OneThatHangsIsLeft(t *testing.T) {
	s3 := archivetest.StartFaultyS3(t)
	store := open(t, s3.URL)
	body := bytes.Repeat([]byte("x"), 1000)
	if err := store.Put(t.Context(), "a/b", bytes.NewReader(body), 1000); err != nil {
		t.Fatal(err)
	}
	archive.Impatient(store, 50*time.Millisecond)
	for what, hang := range map[string]archivetest.Fault{
		"nothing": func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
			_, _ = io.Copy(io.Discard, r.Body) // so that the server sees the client go
			<-r.Context().Done()
		},
		"half": func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			_, _ = io.Copy(io.Discard, r.Body) // as above
			w.Header().Set("Content-Range", "bytes 0-999/1000")
			w.Header().Set("Content-Length", "1000")
			w.Header().Set("Last-Modified", "Mon, 02 Jan 2026 15:04:05 GMT")
			w.Header().Set("ETag", `"x"`)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(body[:500])
			_ = http.NewResponseController(w).Flush() // the client may have gone
			<-r.Context().Done()
		},
	} {
		s3.Set(hang)
		if _, err := store.Get(t.Context(), "a/b", 0, 1000); !errors.Is(err, archive.ErrUnavailable) {
			t.Errorf("%s: get: %v", what, err)
		}
		if what == "nothing" {
			if err := store.Put(t.Context(), "a/c", bytes.NewReader(body), 1000); !errors.Is(err, archive.ErrUnavailable) {
				t.Errorf("%s: put: %v", what, err)
			}
			if err := store.Delete(t.Context(), "a/b"); !errors.Is(err, archive.ErrUnavailable) {
				t.Errorf("%s: delete: %v", what, err)
			}
		}
	}
}
