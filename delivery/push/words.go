package push

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

const ellipsis = "…"

// title is the first line of what a user sees.
func title(n *Notification) string {
	switch {
	case n.ChatName != "":
		return n.ChatName
	case n.SenderID != "":
		return n.SenderID
	default:
		return "New message"
	}
}

// words is the second: the newest message's text, or that there are messages.
func words(n *Notification, text string) string {
	switch {
	case text != "":
		return text
	case n.Count > 1:
		return fmt.Sprintf("%d new messages", n.Count)
	default:
		return "New message"
	}
}

// cut gives the beginning of a text in at most limit bytes, ended by an ellipsis where something is missing. It parts no rune.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	limit -= len(ellipsis)
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	if limit <= 0 {
		return ""
	}
	return strings.TrimRight(text[:limit], " \n\r\t") + ellipsis
}

// fit encodes with as much of the text as leaves it at most limit bytes; false, if none does. JSON makes some runes longer, so
// that is found by trying.
func fit(text string, limit int, encode func(text string) any) ([]byte, bool) {
	whole := marshal(encode(text))
	if len(whole) <= limit {
		return whole, true
	}
	text = cut(text, limit)
	over := sort.Search(len(text)+1, func(n int) bool { return len(marshal(encode(cut(text, n)))) > limit })
	if over == 0 {
		return nil, false
	}
	return marshal(encode(cut(text, over-1))), true
}

// marshal encodes without escapes for HTML, which nobody here is.
func marshal(v any) []byte {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("BUG: a notification cannot be encoded: %v", err)) // it is made of texts and numbers
	}
	return []byte(strings.TrimSuffix(out.String(), "\n"))
}

// facts are what an app gets of a notification beside its words.
type facts struct {
	ChatID      string `json:"chatId"`
	SenderID    string `json:"senderId,omitempty"`
	MessageID   string `json:"messageId"`
	Seq         uint64 `json:"sequenceNumber"`
	FirstSeq    uint64 `json:"firstSequenceNumber"`
	Count       int    `json:"count"`
	Badge       int    `json:"badge"`
	CollapseKey string `json:"collapseKey,omitempty"`
	SentAt      string `json:"sentAt"`
}

func factsOf(n *Notification) facts {
	return facts{
		ChatID: n.ChatID, SenderID: n.SenderID, MessageID: n.MessageID, Seq: n.Seq, FirstSeq: n.FirstSeq, Count: n.Count, Badge: n.Badge,
		CollapseKey: n.CollapseKey, SentAt: n.SentAt.UTC().Format(timeFormat),
	}
}

// timeFormat is RFC 3339 with milliseconds, as everywhere in the API.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// isCollapseKey tells whether a key suits all providers: Web Push's Topic is the narrowest.
func isCollapseKey(s string) bool {
	if len(s) > 32 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
