package delivery

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

func TestParseObject_Refuses(t *testing.T) {
	deep := strings.Repeat("[", 100_000)
	for name, in := range map[string]string{
		"empty":                   "",
		"space only":              " \n",
		"array":                   `["type"]`,
		"string":                  `"x"`,
		"number":                  `1`,
		"null":                    `null`,
		"half an object":          `{"a":1`,
		"two objects":             `{}{}`,
		"trailing comma":          `{"a":1,}`,
		"no key":                  `{1:1}`,
		"single quotes":           `{'a':1}`,
		"comment":                 `{/**/}`,
		"NaN":                     `{"a":NaN}`,
		"plus":                    `{"a":+1}`,
		"leading zero":            `{"a":01}`,
		"bare point":              `{"a":1.}`,
		"no exponent":             `{"a":1e}`,
		"deep":                    `{"a":` + deep,
		"a key twice":             `{"a":1,"a":2}`,
		"a key twice, escaped":    `{"a":1,"\u0061":2}`,
		"broken UTF-8":            "{\"a\":\"\xff\"}",
		"overlong UTF-8":          "{\"a\":\"\xc0\xaf\"}",
		"surrogate in UTF-8":      "{\"a\":\"\xed\xa0\x80\"}",
		"lone high surrogate":     `{"a":"\ud800"}`,
		"lone low surrogate":      `{"a":"\udc00"}`,
		"surrogates in bad order": `{"a":"\udc00\ud800"}`,
		"high and high":           `{"a":"\ud800\ud800"}`,
		"high and text":           `{"a":"\ud800abcdef"}`,
		"raw newline":             "{\"a\":\"\n\"}",
		"raw NUL":                 "{\"a\":\"\x00\"}",
		"unknown escape":          `{"a":"\x41"}`,
		"short escape":            `{"a":"\u00`,
		"byte order mark":         "\ufeff{}",
	} {
		if obj, err := parseObject([]byte(in)); !errors.Is(err, errJSON) {
			t.Errorf("%s: got %v, %v; want errJSON", name, obj, err)
		}
	}
}

func TestParseObject_KeyTwiceAmongMany(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"k39":0`)
	for i := range 40 {
		b.WriteString(`,"k` + string(rune('0'+i/10)) + string(rune('0'+i%10)) + `":0`)
	}
	b.WriteString(`}`)
	if _, err := parseObject([]byte(b.String())); !errors.Is(err, errTwice) {
		t.Errorf("got %v, want errTwice", err)
	}
}

func TestParseObject_Strings(t *testing.T) {
	obj, err := parseObject([]byte(` { "a" : "x\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é" , "b":{"c":[1,{}]} , "n":null } `))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := obj.get("a")
	if want := "x\"\\/\b\f\n\r\té😀é"; a.str != want {
		t.Errorf("a is %q, want %q", a.str, want)
	}
	if b, _ := obj.get("b"); b.kind != jsonObject || string(b.raw) != `{"c":[1,{}]}` {
		t.Errorf("b is %s %s", b.kind, b.raw)
	}
}

func TestFields_Seqs(t *testing.T) {
	for in, want := range map[string]wire.Seq{"1": 1, "9007199254740991": wire.MaxSeq} {
		obj, err := parseObject([]byte(`{"seq":` + in + `}`))
		if err != nil {
			t.Fatal(err)
		}
		f := fields{obj: obj}
		if got := f.needSeq("seq"); got != want || f.err != nil {
			t.Errorf("%s: got %d, %v", in, got, f.err)
		}
	}
	for _, in := range []string{
		"0", "-1", "-0", "1.0", "1e0", "1e308", "1e400", "9007199254740992", "9223372036854775807", "9223372036854775808",
		"18446744073709551615", "99999999999999999999999999", `"1"`, "true", "[1]", "{}", "null",
	} {
		obj, err := parseObject([]byte(`{"seq":` + in + `}`))
		if err != nil {
			t.Fatal(err)
		}
		f := fields{obj: obj}
		if got := f.needSeq("seq"); f.err == nil {
			t.Errorf("%s: got %d, want an error", in, got)
		} else if p := problemOf(f.err); p.code != codeBadRequest {
			t.Errorf("%s: got code %s", in, p.code)
		}
	}
}

func TestFields_WrongTypes(t *testing.T) {
	for in, ask := range map[string]func(*fields){
		`{"text":1}`:                            func(f *fields) { f.text() },
		`{"text":["x"]}`:                        func(f *fields) { f.text() },
		`{"text":""}`:                           func(f *fields) { f.text() },
		`{"text":"a\u0000b"}`:                   func(f *fields) { f.text() },
		`{"clientMessageId":5}`:                 func(f *fields) { f.clientMessageID() },
		`{"clientMessageId":"a\u0000"}`:         func(f *fields) { f.clientMessageID() },
		`{"clientMessageId":"é"}`:               func(f *fields) { f.clientMessageID() },
		`{"chatId":"a b"}`:                      func(f *fields) { f.id("chatId") },
		`{}`:                                    func(f *fields) { f.id("chatId") },
		`{"members":"bob"}`:                     func(f *fields) { f.ids("members", 9) },
		`{"members":[1]}`:                       func(f *fields) { f.ids("members", 9) },
		`{"members":["a","b"]}`:                 func(f *fields) { f.ids("members", 1) },
		`{"cursors":[]}`:                        func(f *fields) { f.cursors(9) },
		`{"cursors":{"a":"1"}}`:                 func(f *fields) { f.cursors(9) },
		`{"cursors":{"a":1.5}}`:                 func(f *fields) { f.cursors(9) },
		`{"cursors":{"a":0}}`:                   func(f *fields) { f.cursors(9) },
		`{"cursors":{"a":9223372036854775808}}`: func(f *fields) { f.cursors(9) },
		`{"cursors":{"a b":1}}`:                 func(f *fields) { f.cursors(9) },
		`{"cursors":{"a":1,"a":2}}`:             func(f *fields) { f.cursors(9) },
		`{"cursors":{"a":1,"b":2}}`:             func(f *fields) { f.cursors(1) },
		`{"limit":501}`:                         func(f *fields) { f.limit(1) },
		`{"limit":0}`:                           func(f *fields) { f.limit(1) },
		`{"seen":-1}`:                           func(f *fields) { f.lamport("seen") },
	} {
		obj, err := parseObject([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		f := fields{obj: obj}
		if ask(&f); f.err == nil || problemOf(f.err).code != codeBadRequest {
			t.Errorf("%s: got %v, want bad_request", in, f.err)
		}
	}
	obj, _ := parseObject([]byte(`{"text":"` + strings.Repeat("x", wire.MaxTextBytes+1) + `"}`))
	f := fields{obj: obj}
	if f.text(); f.err == nil || problemOf(f.err).code != codeTooLarge {
		t.Errorf("an oversized text gives %v", f.err)
	}
}

// FuzzDecodeBody checks the decoder against encoding/json: what it takes is JSON, and its strings are the same.
func FuzzDecodeBody(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"type":"group","members":["bob"],"name":"T\u00e9a"}`, `{"text":"\ud83d\ude00","clientMessageId":"1"}`,
		`{"a":[1,-2.5e3,null,true,{"b":[]}]}`, `{"text":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":1,"a":2}`, `[[[[`, `{"":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		obj, err := parseObject(data)
		if err != nil {
			if !errors.Is(err, errJSON) {
				t.Fatalf("error %v is not errJSON", err)
			}
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("took what is not JSON: %v", err)
		}
		if len(want) != len(obj) {
			t.Fatalf("%d members, want %d", len(obj), len(want))
		}
		for _, m := range obj {
			if m.value.kind != jsonString {
				continue
			}
			var s string
			if err := json.Unmarshal(want[m.key], &s); err != nil || s != m.value.str {
				t.Fatalf("%q decodes to %q, want %q (%v)", m.value.raw, m.value.str, s, err)
			}
		}
		ask := fields{obj: obj}
		_, _ = readNewChat(&ask, "alice")
		if ask.err != nil {
			if c := problemOf(ask.err).code; c != codeBadRequest && c != codeTooLarge {
				t.Fatalf("refused with %s: %v", c, ask.err)
			}
		}
	})
}
