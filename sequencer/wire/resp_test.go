package wire

import (
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unsafe"
)

func parse(text string) (Reply, error) { return newReplyReader(strings.NewReader(text)).read() }

func mustParse(t testing.TB, text string) Reply {
	t.Helper()
	r, err := parse(text)
	if err != nil {
		t.Fatalf("%.80q: %v", text, err)
	}
	return r
}

func TestAppendCommand(t *testing.T) {
	got := string(appendCommand([]byte("before"), []string{"CHAT.APPEND", "", "grüße\r\n"}))
	if want := "before*3\r\n$11\r\nCHAT.APPEND\r\n$0\r\n\r\n$9\r\ngrüße\r\n\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReplyReader_Kinds(t *testing.T) {
	str := func(s string) Reply { return Reply{kind: KindString, text: s} }
	for text, want := range map[string]Reply{
		"+OK\r\n":                             str("OK"),
		"$5\r\na\r\nb\x00\r\n":                str("a\r\nb\x00"),
		"$0\r\n\r\n":                          str(""),
		"=6\r\ntxt:hi\r\n":                    str("hi"),
		"(3492890328409238509324850\r\n":      str("3492890328409238509324850"),
		"-ERR no\r\n":                         {kind: KindError, text: "ERR no"},
		"!6\r\nERR\r\nx\r\n":                  {kind: KindError, text: "ERR\r\nx"},
		":42\r\n":                             {kind: KindInt, num: 42},
		":-9223372036854775808\r\n":           {kind: KindInt, num: math.MinInt64},
		":9223372036854775807\r\n":            {kind: KindInt, num: math.MaxInt64},
		"$-1\r\n":                             {},
		"*-1\r\n":                             {},
		"_\r\n":                               {},
		"#t\r\n":                              {kind: KindBool, num: 1},
		"#f\r\n":                              {kind: KindBool},
		",1.5\r\n":                            {kind: KindDouble, num: int64(math.Float64bits(1.5))},
		",-inf\r\n":                           {kind: KindDouble, num: int64(math.Float64bits(math.Inf(-1)))},
		"*0\r\n":                              {kind: KindArray, elems: []Reply{}},
		"*2\r\n:1\r\n*1\r\n+a\r\n":            {kind: KindArray, elems: []Reply{{kind: KindInt, num: 1}, {kind: KindArray, elems: []Reply{str("a")}}}},
		"~1\r\n+a\r\n":                        {kind: KindArray, elems: []Reply{str("a")}},
		">1\r\n+a\r\n":                        {kind: KindPush, elems: []Reply{str("a")}},
		"%1\r\n+a\r\n:1\r\n":                  {kind: KindMap, elems: []Reply{str("a"), {kind: KindInt, num: 1}}},
		"|1\r\n+ttl\r\n:1\r\n+OK\r\n":         str("OK"),
		"*1\r\n|1\r\n+ttl\r\n:1\r\n+OK\r\n":   {kind: KindArray, elems: []Reply{str("OK")}},
		"|0\r\n|0\r\n$2\r\nhi\r\n":            str("hi"),
		"%1\r\n$3\r\nseq\r\n*2\r\n_\r\n_\r\n": {kind: KindMap, elems: []Reply{str("seq"), {kind: KindArray, elems: []Reply{{}, {}}}}},
	} {
		for name, r := range map[string]io.Reader{
			"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)),
		} {
			d := newReplyReader(r)
			got, err := d.read()
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%q %s: got %#v, %v, want %#v", text, name, got, err, want)
			}
			if _, err := d.read(); !errors.Is(err, io.EOF) {
				t.Errorf("%q %s: something is left over: %v", text, name, err)
			}
		}
	}
}

func TestReplyReader_Refuses(t *testing.T) {
	for name, text := range map[string]string{
		"no type":               "hello\r\n",
		"empty line":            "\r\n",
		"bare newline":          "+OK\n",
		"one byte":              "\n",
		"no number":             ":x\r\n",
		"empty number":          ":\r\n",
		"minus alone":           ":-\r\n",
		"plus":                  ":+1\r\n",
		"number of 65 bits":     ":9223372036854775808\r\n",
		"number of 20 digits":   ":10000000000000000000\r\n",
		"negative length":       "$-2\r\n",
		"null blob error":       "!-1\r\n",
		"null map":              "%-1\r\n",
		"length over the bound": fmt.Sprintf("$%d\r\n", maxReplyBulk+1),
		"length of 63 bits":     "$9223372036854775807\r\n",
		"count over the bound":  fmt.Sprintf("*%d\r\n", maxReplyElems+1),
		"map over the bound":    fmt.Sprintf("%%%d\r\n", maxReplyElems/2+1),
		"streamed string":       "$?\r\n",
		"string too long":       "$2\r\nabc\r\n",
		"long string too long":  fmt.Sprintf("$%d\r\n%s\r\n", replyBufferSize, strings.Repeat("x", replyBufferSize+1)),
		"boolean":               "#x\r\n",
		"double":                ",one\r\n",
		"null with text":        "_x\r\n",
		"verbatim":              "=2\r\nhi\r\n",
		"long line":             "+" + strings.Repeat("x", maxReplyLine) + "\r\n",
		"line without end":      strings.Repeat("+", replyBufferSize+1),
		"deep":                  strings.Repeat("*1\r\n", maxReplyDepth+1) + "+OK\r\n",
		"deep attributes":       strings.Repeat("|1\r\n", maxReplyDepth+1) + "+OK\r\n",
		"bytes over the bound":  "*4\r\n" + strings.Repeat(fmt.Sprintf("$%d\r\n%s\r\n", maxReplyBulk, strings.Repeat("x", maxReplyBulk)), 3),
	} {
		if r, err := parse(text); !errors.Is(err, errProtocol) {
			t.Errorf("%s: got %v, %v", name, r.kind, err)
		}
	}
}

func TestReplyReader_Truncated(t *testing.T) {
	whole := "%2\r\n$3\r\nseq\r\n:12\r\n$4\r\nlong\r\n$40000\r\n" + strings.Repeat("x", 40000) + "\r\n"
	mustParse(t, whole)
	for cut := 1; cut < len(whole); cut += 1 + cut/100*17 {
		if _, err := parse(whole[:cut]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	if _, err := parse(""); !errors.Is(err, io.EOF) {
		t.Errorf("empty: %v", err)
	}
}

func TestReplyReader_DeepestAndLongest(t *testing.T) {
	r := mustParse(t, strings.Repeat("*1\r\n", maxReplyDepth)+"+OK\r\n")
	for range maxReplyDepth {
		r = r.Elems()[0]
	}
	if r.Str() != "OK" {
		t.Errorf("got %v", r)
	}
	long := strings.Repeat("0123456789abcdef", maxReplyBulk/16)
	if got := mustParse(t, fmt.Sprintf("$%d\r\n%s\r\n", len(long), long)); got.Str() != long {
		t.Error("the longest string came out wrong")
	}
}

// TestReplyReader_AnnouncedIsNotAllocated has replies of a few bytes that announce very much.
func TestReplyReader_AnnouncedIsNotAllocated(t *testing.T) {
	for _, text := range []string{
		fmt.Sprintf("$%d\r\n", maxReplyBulk), fmt.Sprintf("*%d\r\n", maxReplyElems),
		strings.Repeat(fmt.Sprintf("*%d\r\n", maxReplyElems/16), maxReplyDepth),
	} {
		if got := allocated(func() { _, _ = parse(text) }); got > 256<<10 {
			t.Errorf("%.20q: %d bytes were allocated", text, got)
		}
	}
}

// allocated gives the bytes that f allocates, and perhaps a little more.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestReplyReader_AckIsCheap: one allocation for the fields of an ack, none for their names.
func TestReplyReader_AckIsCheap(t *testing.T) {
	ack := "%4\r\n$3\r\nseq\r\n:12345\r\n$6\r\nsentAt\r\n:1700000000000\r\n$7\r\nlamport\r\n:99999\r\n$8\r\nreplayed\r\n:0\r\n"
	src := strings.NewReader("")
	d := newReplyReader(src)
	got := testing.AllocsPerRun(100, func() {
		src.Reset(ack)
		r, err := d.read()
		if err != nil {
			t.Fatal(err)
		}
		if a, err := decodeAck(r); err != nil || a.Seq != 12345 {
			t.Fatal(a, err)
		}
	})
	if got > 1 {
		t.Errorf("%v allocations, want 1", got)
	}
}

func TestReply_MethodsOnEveryKind(t *testing.T) {
	for _, tc := range []struct {
		text            string
		str             string
		uintOK, intOK   bool
		num             uint64
		isNull, boolean bool
		shown           string
	}{
		{"_\r\n", "", false, false, 0, true, false, ""},
		{"+hi\r\n", "hi", false, false, 0, false, false, "hi"},
		{"$2\r\n17\r\n", "17", true, true, 17, false, false, "17"},
		{":17\r\n", "", true, true, 17, false, true, "17"},
		{":-17\r\n", "", false, true, 0, false, true, "-17"},
		{"$3\r\n-17\r\n", "-17", false, true, 0, false, false, "-17"},
		{"#t\r\n", "", true, true, 1, false, true, "true"},
		{",0.5\r\n", "", false, false, 0, false, false, "0.5"},
		{"-ERR x\r\n", "", false, false, 0, false, false, "ERR x"},
		{"*2\r\n+a\r\n:1\r\n", "", false, false, 0, false, false, "[a 1]"},
	} {
		r := mustParse(t, tc.text)
		_, uintErr := r.Uint()
		_, intErr := r.Int()
		if r.Str() != tc.str || (uintErr == nil) != tc.uintOK || (intErr == nil) != tc.intOK || r.Num() != tc.num ||
			r.IsNull() != tc.isNull || r.Bool() != tc.boolean || r.String() != tc.shown {
			t.Errorf("%q: %q, %v, %v, %d, %v, %v, %q", tc.text, r.Str(), uintErr, intErr, r.Num(), r.IsNull(), r.Bool(), r.String())
		}
	}
	if f, err := mustParse(t, ",2.5\r\n").Float(); err != nil || f != 2.5 {
		t.Errorf("double: %v, %v", f, err)
	}
	if f, err := mustParse(t, ":2\r\n").Float(); err != nil || f != 2 {
		t.Errorf("integer as double: %v, %v", f, err)
	}
	if _, err := mustParse(t, "+2\r\n").Float(); err == nil {
		t.Error("a string is no double")
	}
}

func TestReply_FieldInRESP2AndRESP3(t *testing.T) {
	for _, head := range []string{"%3\r\n", "*6\r\n"} {
		r := mustParse(t, head+"$3\r\nseq\r\n:5\r\n$4\r\ntext\r\n$3\r\nseq\r\n+seq\r\n:6\r\n")
		if got := r.Field("seq").Num(); got != 5 {
			t.Errorf("seq is %d", got)
		}
		if got := r.Field("text").Str(); got != "seq" {
			t.Errorf("text is %q", got)
		}
		if !r.Field("5").IsNull() || !r.Field("").IsNull() || !r.Field("seq").Field("seq").IsNull() {
			t.Error("there are fields that are not there")
		}
	}
	if !mustParse(t, "*3\r\n+a\r\n:1\r\n+b\r\n").Field("b").IsNull() {
		t.Error("a name without a value has one")
	}
}

func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		"+OK\r\n", "-MOVED 1 a:1\r\n", ":-1\r\n", "$-1\r\n", "$3\r\nabc\r\n", "*2\r\n:1\r\n$1\r\na\r\n", "_\r\n", "#t\r\n", ",nan\r\n",
		"%1\r\n$3\r\nseq\r\n:1\r\n", "~1\r\n+a\r\n", ">1\r\n+a\r\n", "|1\r\n+a\r\n:1\r\n+b\r\n", "=5\r\ntxt:a\r\n", "!3\r\nERR\r\n", "(12\r\n",
		"*1048576\r\n", "$33554432\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n+a\r\n", "%9223372036854775807\r\n", "$5\r\nab",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newReplyReader(strings.NewReader(string(data)))
		for {
			r, err := d.read()
			if err != nil {
				return
			}
			elems, text, depth := weigh(r)
			if depth > maxReplyDepth+1 || text > len(data) || elems > len(data) {
				t.Fatalf("%d values, %d bytes, %d deep from %d bytes", elems, text, depth, len(data))
			}
			touch(r)
		}
	})
}

// weigh gives the values that memory is held for, the bytes of texts that are not known names, and the depth.
func weigh(r Reply) (elems, text, depth int) {
	if known := knownNames[r.text]; unsafe.StringData(known) != unsafe.StringData(r.text) {
		text = len(r.text)
	}
	elems = 1
	for i := range r.elems {
		e, n, d := weigh(r.elems[i])
		elems, text, depth = elems+e, text+n, max(depth, d)
	}
	return elems, text, depth + 1
}

// touch calls every method; none may panic.
func touch(r Reply) {
	_, _ = r.Int()
	_, _ = r.Uint()
	_, _ = r.Float()
	_, _, _, _, _, _ = r.Err(), r.Str(), r.String(), r.Bool(), r.Field("seq"), r.Num()
	for _, e := range r.Elems() {
		touch(e)
	}
}
