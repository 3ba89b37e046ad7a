package wire

import (
	"context"
	"time"
)

// marksAtOnce is how many marks go into one command, so that it stays within what a sequencer reads.
const marksAtOnce = 200

// Receipt raises watermarks of members of one chat. The results are in the order of the marks. A mark that is refused has
// its own error there; where there is only one mark, the call fails with it.
func (c *Client) Receipt(ctx context.Context, chatID string, marks []Mark) ([]MarkResult, error) {
	results := make([]MarkResult, 0, len(marks))
	for len(marks) > 0 {
		part := firstMarks(marks)
		got, err := call(ctx, c, chatID, decodeMarks(part), receiptArgs(chatID, part)...)
		if err != nil {
			return nil, err
		}
		results, marks = append(results, got...), marks[len(part):]
	}
	return results, nil
}

// ReceiptAsync is Receipt that does not wait.
func (c *Client) ReceiptAsync(timeout time.Duration, chatID string, marks []Mark, done func([]MarkResult, error)) {
	c.receiptFrom(time.Now().Add(timeout), chatID, marks, make([]MarkResult, 0, len(marks)), done)
}

// receiptFrom sends the first marks, and the others when these are done.
func (c *Client) receiptFrom(
	deadline time.Time, chatID string, marks []Mark, results []MarkResult, done func([]MarkResult, error),
) {
	if len(marks) == 0 {
		done(results, nil)
		return
	}
	part := firstMarks(marks)
	submit(c, time.Until(deadline), chatID, decodeMarks(part), func(got []MarkResult, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		c.receiptFrom(deadline, chatID, marks[len(part):], append(results, got...), done)
	}, receiptArgs(chatID, part)...)
}

// firstMarks gives the marks for the next command. The commands are of about one size, so that none of several has a single
// mark: a refusal would be the whole answer to that.
func firstMarks(marks []Mark) []Mark {
	commands := (len(marks) + marksAtOnce - 1) / marksAtOnce
	return marks[:(len(marks)+commands-1)/commands]
}

func receiptArgs(chatID string, marks []Mark) []string {
	args := make([]string, 2, 2+5*len(marks))
	args[0], args[1] = "CHAT.RECEIPT", chatID
	for _, m := range marks {
		args = append(args, m.UserID)
		if m.Delivered > 0 {
			args = append(args, "DELIVERED", utoa(m.Delivered))
		}
		if m.Read > 0 {
			args = append(args, "READ", utoa(m.Read))
		}
	}
	return args
}
