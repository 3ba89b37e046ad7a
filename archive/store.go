package archive

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/quorate/quorate/sequencer/wire"
)

// Store is an object store. All methods are safe for concurrent use and may be repeated.
type Store interface {
	// Put stores an object under a key, in the place of any that is there. It is durable when Put returns.
	Put(ctx context.Context, key string, body io.ReaderAt, size int64) error
	// Get reads size bytes of an object from an offset on, all of them or an error: ErrNotFound, ErrDenied, ErrUnavailable.
	Get(ctx context.Context, key string, offset, size int64) ([]byte, error)
	// List visits the objects whose keys begin with a prefix, which ends in "/". What visit answers ends it.
	List(ctx context.Context, prefix string, visit func(Object) error) error
	// Delete removes an object; one that is not there is fine.
	Delete(ctx context.Context, key string) error
}

// Object is an object as List finds it.
type Object struct {
	Key        string
	Size       int64
	ModifiedAt wire.Millis
}

// maxGet bounds what one Get reads.
const maxGet = 64 << 20

// OpenStore opens the store that a URL names: file:///DIR, or s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=REGION. It makes
// no connection.
func OpenStore(rawURL string) (Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("the URL of an object store: %w", err)
	}
	switch u.Scheme {
	case "file":
		return openDir(u)
	case "s3":
		return openS3(u)
	}
	return nil, fmt.Errorf("the URL of an object store begins with file:/// or s3://, not %q", u.Scheme+"://")
}
