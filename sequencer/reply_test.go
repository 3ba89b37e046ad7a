package sequencer

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

func TestErrorText(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{wire.ErrNotMember, "NOTMEMBER the user is not a member of the chat"},
		{wire.ErrUnknown, "UNKNOWN the outcome is not known, send the same again"},
		{fmt.Errorf("%w: text must not be empty", wire.ErrBadRequest), "ERR text must not be empty"},
		{fmt.Errorf("%w too many", wire.ErrTooLarge), "TOOLARGE too many"},
		{fmt.Errorf("apply: %w", wire.ErrConflict), "CONFLICT apply"},
		{fmt.Errorf("apply: %w: other text", wire.ErrConflict), "CONFLICT apply: other text"},
		{fmt.Errorf("submit: %w", &wire.MovedError{Slot: 3999, Addr: "127.0.0.1:6381"}), "MOVED 3999 127.0.0.1:6381"},
		{errSyntax, "ERR syntax error"},
		{errCrossSlot, "CROSSSLOT Keys in request don't hash to the same slot"},
		{context.Canceled, "TRYAGAIN this node failed to answer; its log says why"},
	} {
		if got := errorText(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
		if isTyped(tt.err) == errors.Is(tt.err, context.Canceled) {
			t.Errorf("%v: typed is %t", tt.err, isTyped(tt.err))
		}
	}
}

// TestErrorText_WordsAreWires looks that what a client makes of an answer is the error that it was made of.
func TestErrorText_WordsAreWires(t *testing.T) {
	for _, tt := range typed {
		if got := wire.ErrorOf(errorText(tt.err)); !errors.Is(got, tt.err) {
			t.Errorf("%v comes back as %v", tt.err, got)
		}
	}
}

func TestReply_Dialects(t *testing.T) {
	build := func(r *reply) {
		r.maps(2)
		r.fieldInt("seq", 12)
		r.field("last")
		r.null()
		r.err(errors.Join(redisError("ERR two\r\nlines")))
	}
	for _, tt := range []struct {
		resp3 bool
		want  string
	}{
		{false, "*4\r\n$3\r\nseq\r\n:12\r\n$4\r\nlast\r\n$-1\r\n-ERR two  lines\r\n"},
		{true, "%2\r\n$3\r\nseq\r\n:12\r\n$4\r\nlast\r\n_\r\n-ERR two  lines\r\n"},
	} {
		r := reply{resp3: tt.resp3}
		build(&r)
		if string(r.b) != tt.want {
			t.Errorf("resp3 %t: %q, want %q", tt.resp3, r.b, tt.want)
		}
	}
}
