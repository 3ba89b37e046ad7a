package wire

import (
	"context"
	"fmt"
	"time"
)

// LastSeen tells when a user was last seen, 0 for never.
func (c *Client) LastSeen(ctx context.Context, userID string) (Millis, error) {
	return call(ctx, c, userID, decodeRisen[Millis], "USER.SEEN", userID)
}

// Seen raises the time at which a user was last seen, and gives what it is then: it never falls.
func (c *Client) Seen(ctx context.Context, userID string, at Millis) (Millis, error) {
	return call(ctx, c, userID, decodeRisen[Millis], seenArgs(userID, at)...)
}

// SeenAsync is Seen that does not wait.
func (c *Client) SeenAsync(timeout time.Duration, userID string, at Millis, done func(Millis, error)) {
	submit(c, timeout, userID, decodeRisen[Millis], done, seenArgs(userID, at)...)
}

// CommitFeed says that a consumer of a group's feed is done with all events before offset. What it has said before stands
// where that was more.
func (c *Client) CommitFeed(ctx context.Context, group GroupID, consumer string, offset Offset) error {
	_, err := c.onGroup(ctx, group, "FEED.COMMIT", utoa(group), consumer, utoa(offset))
	return err
}

// CommittedFeed gives the offset from which a consumer of a group's feed goes on, 0 where it has committed none.
func (c *Client) CommittedFeed(ctx context.Context, group GroupID, consumer string) (Offset, error) {
	return c.onGroup(ctx, group, "FEED.COMMITTED", utoa(group), consumer)
}

// onGroup does a command at the leader of a group and reads the offset that it answers.
func (c *Client) onGroup(ctx context.Context, group GroupID, args ...string) (Offset, error) {
	groups, err := c.Groups(ctx)
	if err != nil {
		return 0, err
	}
	if int(group) >= groups {
		return 0, fmt.Errorf("%w: there is no group %d", ErrBadRequest, group)
	}
	slot, _ := SlotRange(group, groups)
	r, err := c.await(ctx, &request{key: slot, args: args})
	if err != nil {
		return 0, err
	}
	return decodeRisen[Offset](r)
}

func seenArgs(userID string, at Millis) []string {
	return []string{"USER.SEEN", userID, "AT", utoa(uint64(max(0, at)))}
}

// decodeRisen reads a number that only rises; null is 0.
func decodeRisen[N Millis | Offset](r Reply) (N, error) {
	if r.IsNull() {
		return 0, nil
	}
	n, err := r.Uint()
	if err != nil || n > uint64(MaxSeq) {
		return 0, fmt.Errorf("%w: not a number", errReply)
	}
	return N(n), nil
}
