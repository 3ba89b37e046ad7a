package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// headWindow bounds how many CHAT.HEAD commands one call of Heads has under way, and headChunk the chats in each.
const (
	headWindow = 256
	headChunk  = 128
)

// slotsApart is for how long chats of different slots are not asked for together, after a node has refused that: those of earlier versions do.
const slotsApart = time.Minute

// headPart is one CHAT.HEAD: the chats of one group, or slot, with their places in the answer.
type headPart struct {
	chatIDs []string
	places  []int
}

// headAnswer is what became of a headPart.
type headAnswer struct {
	part  *headPart
	heads []Head
	err   error
}

// Heads reads where chats stand, for a member or with forUser "" for nobody. The chats may be in any slots; the answer has
// their order. It fails as a whole with the first error.
func (c *Client) Heads(ctx context.Context, chatIDs []string, forUser string) ([]Head, error) {
	if table := c.routing.table.Load(); table != nil && c.now() >= time.Duration(c.slotsApart.Load()) {
		groups := len(table.groups)
		heads, err := c.heads(ctx, splitHeads(chatIDs, func(s Slot) int { return int(GroupOf(s, groups)) }), len(chatIDs), forUser)
		if !isCrossSlot(err) {
			return heads, err
		}
		c.slotsApart.Store(int64(c.now() + slotsApart))
	}
	return c.heads(ctx, splitHeads(chatIDs, func(s Slot) int { return int(s) }), len(chatIDs), forUser)
}

func isCrossSlot(err error) bool {
	return errors.Is(err, ErrBadRequest) && strings.Contains(err.Error(), "CROSSSLOT")
}

// heads asks for all parts of n chats.
func (c *Client) heads(ctx context.Context, parts []*headPart, n int, forUser string) ([]Head, error) {
	var (
		heads   = make([]Head, n)
		answers = make(chan headAnswer, min(headWindow, len(parts)))
		asked   []*request
		open    int
		failed  error
	)
	ended := ctx.Done()
	stop := func(err error) {
		failed, ended, parts = err, nil, nil
		for _, req := range asked {
			c.giveUp(req, err)
		}
	}
	for len(parts) > 0 || open > 0 {
		if len(parts) > 0 && open < cap(answers) {
			asked = append(asked, c.head(ctx, parts[0], forUser, answers))
			parts, open = parts[1:], open+1
			continue
		}
		select {
		case a := <-answers:
			open--
			if a.err != nil && failed == nil {
				stop(a.err)
			}
			for i := range a.heads {
				heads[a.part.places[i]] = a.heads[i]
			}
		case <-ended:
			stop(fmt.Errorf("%w: %w", ErrUnknown, ctx.Err()))
		}
	}
	if failed != nil {
		return nil, failed
	}
	return heads, nil
}

// splitHeads puts the chats into parts, those of one slot, or of one place that together gives for slots, together.
func splitHeads(chatIDs []string, together func(Slot) int) []*headPart {
	var parts []*headPart
	byPlace := make(map[int]*headPart, len(chatIDs))
	for i, chatID := range chatIDs {
		place := together(SlotOf(chatID))
		part := byPlace[place]
		if part == nil || len(part.chatIDs) == headChunk {
			part = &headPart{}
			byPlace[place], parts = part, append(parts, part)
		}
		part.chatIDs, part.places = append(part.chatIDs, chatID), append(part.places, i)
	}
	return parts
}

// head submits one part. Exactly one answer comes.
func (c *Client) head(ctx context.Context, part *headPart, forUser string, answers chan<- headAnswer) *request {
	req := &request{key: SlotOf(part.chatIDs[0]), args: appendFor(append([]string{"CHAT.HEAD"}, part.chatIDs...), forUser)}
	req.done = func(r Reply, err error) {
		a := headAnswer{part: part, err: err}
		if err == nil {
			a.heads, a.err = decodeHeads(part.chatIDs, r)
		}
		answers <- a // has room for all that are under way
	}
	c.submit(req, c.timeLeft(ctx))
	return req
}
