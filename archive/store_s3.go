package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/quorate/quorate/sequencer/wire"
)

const (
	s3PartBytes   = 16 << 20 // of an upload; a part is in memory while it is sent
	s3DialWait    = 5 * time.Second
	s3HeaderWait  = 30 * time.Second // for the first byte of an answer
	s3Idle        = 90 * time.Second
	s3Patience    = time.Minute // for a request, and as much longer as its bytes take at s3Slowest
	s3Slowest     = 256 << 10   // bytes a second
	s3Connections = 64
)

// s3Store keeps objects in a bucket.
type s3Store struct {
	client   *minio.Client
	bucket   string
	prefix   string // "" or ends in a slash
	patience time.Duration
}

// within gives a request its deadline: a store that takes a connection and says no more must not hold up an archiver for ever.
func (s *s3Store) within(ctx context.Context, size int64) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.patience+time.Duration(size)*time.Second/s3Slowest, errSlowStore)
}

var errSlowStore = fmt.Errorf("%w: it is too slow", ErrUnavailable)

// openS3 reads s3://BUCKET/PREFIX?endpoint=URL&region=REGION. The keys come from the environment: QUORATE_S3_ACCESS_KEY and
// QUORATE_S3_SECRET_KEY, or those of AWS.
func openS3(u *url.URL) (Store, error) {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("the URL of an object store: %w", err)
	}
	for name := range q {
		if name != "endpoint" && name != "region" {
			return nil, fmt.Errorf("the URL of an object store: there is no parameter %q; there are endpoint and region", name)
		}
	}
	endpoint, err := url.Parse(q.Get("endpoint"))
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" || strings.Trim(endpoint.Path, "/") != "" || endpoint.User != nil {
		return nil, fmt.Errorf("the URL of an object store: endpoint must be http://HOST:PORT or https://HOST, not %q", q.Get("endpoint"))
	}
	prefix := strings.Trim(u.Path, "/")
	if u.User != nil || u.Host == "" || prefix != "" && checkKey(prefix) != nil {
		return nil, errors.New("the URL of an object store is s3://BUCKET/PREFIX?endpoint=URL; keys come from the environment")
	}
	if prefix != "" {
		prefix += "/"
	}
	region := q.Get("region")
	if region == "" {
		region = "us-east-1"
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.Static{Value: credentials.Value{
				AccessKeyID: os.Getenv("QUORATE_S3_ACCESS_KEY"), SecretAccessKey: os.Getenv("QUORATE_S3_SECRET_KEY"), SignerType: credentials.SignatureV4,
			}},
			&credentials.EnvAWS{},
		}),
		Secure: endpoint.Scheme == "https", Region: region, BucketLookup: minio.BucketLookupPath, MaxRetries: 1, Transport: s3Transport(),
	})
	if err != nil {
		return nil, fmt.Errorf("the URL of an object store: %w", err)
	}
	return &s3Store{client: client, bucket: u.Host, prefix: prefix, patience: s3Patience}, nil
}

// s3Transport follows no redirects, as the client it is given to does not, and has a bound for everything.
func s3Transport() http.RoundTripper {
	return &http.Transport{
		DialContext: (&net.Dialer{Timeout: s3DialWait, KeepAlive: 30 * time.Second}).DialContext, TLSHandshakeTimeout: s3DialWait,
		ResponseHeaderTimeout: s3HeaderWait, IdleConnTimeout: s3Idle, MaxIdleConnsPerHost: s3Connections, MaxConnsPerHost: s3Connections,
		DisableCompression: true, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
	}
}

// Put uploads an object in parts of a fixed size.
func (s *s3Store) Put(ctx context.Context, key string, body io.ReaderAt, size int64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if size <= 0 {
		return fmt.Errorf("%w: an object of %d bytes", ErrKey, size)
	}
	ctx, cancel := s.within(ctx, size)
	defer cancel()
	info, err := s.client.PutObject(ctx, s.bucket, s.prefix+key, io.NewSectionReader(body, 0, size), size, minio.PutObjectOptions{
		// Of uploads in parts some stores check sums otherwise than others. Whoever stores here reads back, and that tells.
		SendContentMd5: size <= s3PartBytes,
		PartSize:       s3PartBytes, NumThreads: 1, ContentType: "application/octet-stream",
	})
	if err != nil {
		return s3Error(ctx, err)
	}
	if info.Size != size {
		return fmt.Errorf("%w: %d of %d bytes were stored", ErrUnavailable, info.Size, size)
	}
	return nil
}

// Get is one ranged request. Whatever else the store answers, it is size bytes or an error.
func (s *s3Store) Get(ctx context.Context, key string, offset, size int64) ([]byte, error) {
	if err := errors.Join(checkKey(key), checkRange(offset, size)); err != nil {
		return nil, err
	}
	opts := minio.GetObjectOptions{}
	if err := opts.SetRange(offset, offset+size-1); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	ctx, cancel := s.within(ctx, size)
	defer cancel()
	core := minio.Core{Client: s.client}
	body, info, header, err := core.GetObject(ctx, s.bucket, s.prefix+key, opts)
	if err != nil {
		return nil, s3Error(ctx, err)
	}
	defer body.Close() //nolint:errcheck // it was only read
	if want := fmt.Sprintf("bytes %d-%d/", offset, offset+size-1); !strings.HasPrefix(header.Get("Content-Range"), want) || info.Size != size {
		return nil, fmt.Errorf("%w: %s: asked for %d bytes from %d on, got %d, %q", ErrCorrupt, key, size, offset, info.Size, header.Get("Content-Range"))
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(body, b); err != nil {
		return nil, s3Error(ctx, err)
	}
	return b, nil
}

// List pages through the bucket. A page that repeats a key, as a store that is broken would, ends it with an error.
func (s *s3Store) List(ctx context.Context, prefix string, visit func(Object) error) error {
	if err := checkPrefix(prefix); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing where visit did
	last := ""
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return s3Error(ctx, o.Err)
		}
		key, ok := strings.CutPrefix(o.Key, s.prefix)
		if !ok || !strings.HasPrefix(key, prefix) || key <= last {
			return fmt.Errorf("%w: the list goes from %q to %q", ErrUnavailable, last, o.Key)
		}
		last = key
		if checkKey(key) != nil {
			continue // not one of ours
		}
		if err := visit(Object{Key: key, Size: o.Size, ModifiedAt: wire.Millis(o.LastModified.UnixMilli())}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Delete removes an object.
func (s *s3Store) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	ctx, cancel := s.within(ctx, 0)
	defer cancel()
	if err := s3Error(ctx, s.client.RemoveObject(ctx, s.bucket, s.prefix+key, minio.RemoveObjectOptions{})); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// s3Error gives what a store answered its type.
func s3Error(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSlowStore) {
		return errSlowStore
	}
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	answer := minio.ToErrorResponse(err)
	switch {
	case answer.Code == "NoSuchBucket": // says nothing of an object
	case answer.Code == "NoSuchKey" || answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w: %w", ErrDenied, err)
	case answer.Code == "InvalidRange" || answer.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: %w", ErrCorrupt, err) // it is shorter than it was
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
