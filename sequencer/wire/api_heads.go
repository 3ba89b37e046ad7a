package wire

import "context"

// headWindow bounds how many CHAT.HEAD commands one call of Heads has under way, and headChunk the chats in each.
const (
	headWindow = 256
	headChunk  = 128
)

// headPart is one CHAT.HEAD: the chats of one slot, with their places in the answer.
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := splitHeads(chatIDs)
	heads := make([]Head, len(chatIDs))
	answers := make(chan headAnswer, min(headWindow, len(parts)))
	var first error
	for next, open := 0, 0; next < len(parts) && first == nil || open > 0; {
		if next < len(parts) && first == nil && open < cap(answers) {
			c.head(ctx, parts[next], forUser, answers)
			next, open = next+1, open+1
			continue
		}
		a := <-answers
		open--
		if a.err != nil && first == nil {
			first = a.err
			cancel()
		}
		for i := range a.heads {
			heads[a.part.places[i]] = a.heads[i]
		}
	}
	if first != nil {
		return nil, first
	}
	return heads, nil
}

func splitHeads(chatIDs []string) []*headPart {
	var parts []*headPart
	bySlot := make(map[Slot]*headPart, len(chatIDs))
	for i, chatID := range chatIDs {
		slot := SlotOf(chatID)
		part := bySlot[slot]
		if part == nil || len(part.chatIDs) == headChunk {
			part = &headPart{}
			bySlot[slot], parts = part, append(parts, part)
		}
		part.chatIDs, part.places = append(part.chatIDs, chatID), append(part.places, i)
	}
	return parts
}

// head submits one part. Exactly one answer comes.
func (c *Client) head(ctx context.Context, part *headPart, forUser string, answers chan<- headAnswer) {
	args := appendFor(append([]string{"CHAT.HEAD"}, part.chatIDs...), forUser)
	c.submitCtx(ctx, part.chatIDs[0], func(r Reply, err error) {
		a := headAnswer{part: part, err: err}
		if err == nil {
			a.heads, a.err = decodeHeads(part.chatIDs, r)
		}
		answers <- a // has room for all that are under way
	}, args...)
}
