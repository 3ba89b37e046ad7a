package wire

import (
	"context"
	"time"
)

func (c *Client) SeenAsync(timeout time.Duration, user string, at Millis, done func(Millis, error)) {
	done(0, ErrClusterDown)
}
func (c *Client) LastSeen(ctx context.Context, user string) (Millis, error) { return 0, nil }
