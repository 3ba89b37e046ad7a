package delivery

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

// FuzzClientFrame decodes a frame as each type of request: what is taken is within the limits, and what is refused has a code
// and an answer that is JSON, whatever the id was.
func FuzzClientFrame(f *testing.F) {
	for _, seed := range []string{
		`{"type":"hello","token":"x","deviceId":"phone","cursors":{"a":1,"b.c":9007199254740991},"seen":3}`,
		`{"type":"send","id":"1","chatId":"c","clientMessageId":"m","text":"h\u00e9\ud83d\ude00","seen":0,"traceparent":"00-x"}`,
		`{"type":"ack","chatId":"c","seq":1}`, `{"type":"read","id":7,"chatId":"c","seq":2}`,
		`{"type":"history","id":1e400,"chatId":"c","cursor":5,"limit":500}`, `{"type":"history","chatId":"c","before":5}`,
		`{"type":"typing","chatId":"c"}`, `{"id":"\ud800"}`, `{"id":{}}`, `[]`, `{"cursors":{"a":1,"a":2}}`, "{\"text\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, decode := range []func(*request) error{decodeHello, decodeSend, decodeMark, decodeHistory} {
			r, err := readRequest(data)
			if err != nil {
				if !errors.Is(err, errJSON) {
					t.Fatalf("error %v is not errJSON", err)
				}
				return
			}
			if fault := decode(r); fault != nil && r.err == nil {
				t.Fatalf("took %q: %v", data, fault)
			}
			if r.err == nil {
				continue
			}
			p := problemOf(r.err)
			if p.code != codeBadRequest && p.code != codeTooLarge {
				t.Fatalf("refused with %v", p)
			}
			answer := errorFrame(r.ref, p)
			if body := answer[bytes.Index(answer, []byte(`{"type"`)):]; !json.Valid(body) {
				t.Fatalf("the answer is %q", body)
			}
		}
	})
}

func decodeHello(r *request) error {
	h := r.hello(10)
	if len(h.cursors) > 10 {
		return errors.New("too many cursors")
	}
	for chat, seq := range h.cursors {
		if err := checkSeq(chat, seq); err != nil {
			return err
		}
	}
	return wire.CheckID("deviceId", h.device)
}

func decodeSend(r *request) error {
	q := r.send("alice")
	if strings.ContainsRune(q.Text, 0) || len(q.Trace) > wire.MaxTraceBytes || q.Seen > wire.Lamport(wire.MaxSeq) {
		return errors.New("over a limit")
	}
	return errors.Join(wire.CheckID("chatId", q.ChatID), wire.CheckText(q.Text), wire.CheckClientMessageID(q.ClientMessageID))
}

func decodeMark(r *request) error {
	chat, m := r.mark("alice")
	if m.Read != 0 && m.Read != m.Delivered {
		return errors.New("read is not delivered")
	}
	return checkSeq(chat, m.Delivered)
}

func decodeHistory(r *request) error {
	q := r.history("alice")
	if q.Count < 1 || q.Count > wire.MaxPage {
		return errors.New("page size")
	}
	return checkSeq(q.ChatID, q.From)
}

func checkSeq(chat string, seq wire.Seq) error {
	if seq == 0 || seq > wire.MaxSeq {
		return errors.New("seq out of range")
	}
	return wire.CheckID("chatId", chat)
}
