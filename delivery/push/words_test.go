package push

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWords(t *testing.T) {
	for _, c := range []struct {
		n           Notification
		title, body string
	}{
		{Notification{ChatName: "Tea", SenderID: "bob", Text: "hello", Count: 3}, "Tea", "hello"},
		{Notification{SenderID: "bob", Text: "hello", Count: 1}, "bob", "hello"},
		{Notification{SenderID: "bob", Count: 1}, "bob", "New message"},
		{Notification{ChatName: "Tea", Count: 12}, "Tea", "12 new messages"},
		{Notification{}, "New message", "New message"},
	} {
		if title(&c.n) != c.title || words(&c.n, c.n.Text) != c.body {
			t.Errorf("%+v: %q, %q", c.n, title(&c.n), words(&c.n, c.n.Text))
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"hello", 5, "hello"},
		{"hello!", 5, "he…"},
		{"hello", 4, "h…"},
		{"hello", 3, ""},
		{"hello", 0, ""},
		{"añb longer", 6, "añ…"},
		{"añb longer", 5, "a…"},
		{"ab \n cdefgh", 8, "ab…"},
		{"\U0001f642\U0001f642\U0001f642", 11, "\U0001f642\U0001f642…"},
		{"\U0001f642\U0001f642\U0001f642", 10, "\U0001f642…"},
	} {
		if got := cut(c.text, c.limit); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

func TestFit_TakesAsMuchAsFits(t *testing.T) {
	encode := func(text string) any { return map[string]string{"body": text} }
	for _, rune := range []string{"x", "ñ", "✓", "\U0001f642", "\"", "a\n", "\x01", "\xff"} {
		text := strings.Repeat(rune, 16<<10/len(rune))
		got, fits := fit(text, 1000, encode)
		if !fits || len(got) > 1000 || len(got) < 1000-12 {
			t.Errorf("%q: %d bytes, %v", rune, len(got), fits)
		}
		var back map[string]string
		if err := json.Unmarshal(got, &back); err != nil || !strings.HasSuffix(back["body"], ellipsis) || !utf8.ValidString(back["body"]) {
			t.Errorf("%q: %v", rune, err)
		}
	}
	if got, fits := fit("short", 1000, encode); !fits || string(got) != `{"body":"short"}` {
		t.Errorf("%s, %v", got, fits)
	}
	if _, fits := fit("short", 5, encode); fits {
		t.Error("11 bytes fit into 5")
	}
}

func FuzzFit(f *testing.F) {
	f.Add("hello \U0001f642", 30)
	f.Add("\x00\xff\u2028", 20)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if len(text) > 4096 {
			return
		}
		got, fits := fit(text, limit, func(text string) any { return map[string]string{"body": text} })
		if !fits {
			if limit >= len(`{"body":""}`) {
				t.Fatalf("%q does not fit into %d", text, limit)
			}
			return
		}
		var back map[string]string
		if err := json.Unmarshal(got, &back); err != nil || len(got) > limit {
			t.Fatalf("%q in %d: %s, %v", text, limit, got, err)
		}
		kept, isCut := strings.CutSuffix(back["body"], ellipsis)
		if clean := strings.ToValidUTF8(text, "\ufffd"); !isCut && back["body"] != "" && !strings.Contains(text, "\ufffd") && utf8.ValidString(text) && kept != clean {
			t.Fatalf("%q became %q", text, back["body"])
		}
		if isCut && utf8.ValidString(text) && !strings.HasPrefix(text, kept) && !strings.HasSuffix(text, ellipsis) {
			t.Fatalf("%q was cut to %q", text, kept)
		}
	})
}
