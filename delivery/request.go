package delivery

import "github.com/quorate/quorate/sequencer/wire"

// maxRequestID bounds the id of a request, as it is written in JSON.
const maxRequestID = 128

// request is one frame of a client.
type request struct {
	fields
	ref  []byte // its id as it was written, or nil
	kind string // its type
}

// readRequest decodes a frame. A request whose type or id is wrong has its error in err; what is returned as an error is
// no JSON object at all.
func readRequest(payload []byte) (*request, error) {
	obj, err := parseObject(payload)
	if err != nil {
		return nil, err
	}
	r := &request{fields: fields{obj: obj}}
	r.readRef()
	r.kind = r.str("type")
	return r, nil
}

// readRef keeps the id of the request, which may be a string or a number.
func (r *request) readRef() {
	v, ok := r.obj.get("id")
	if !ok || v.kind == jsonNull {
		return
	}
	if v.kind != jsonString && v.kind != jsonNumber || len(v.raw) > maxRequestID {
		r.fail("id must be a string or a number of at most %d bytes", maxRequestID)
		return
	}
	r.ref = append([]byte(nil), v.raw...)
}

// helloRequest is what a hello says.
type helloRequest struct {
	token, device string
	cursors       map[string]wire.Seq
	epoch         uint64 // of the cluster that the cursors are of; 0: not said
}

func (r *request) hello(maxCursors int) helloRequest {
	r.lamport("seen")
	epoch, _ := r.seq("epoch") // a number like any other
	return helloRequest{r.str("token"), r.id("deviceId"), r.cursors(maxCursors), uint64(epoch)}
}

func (r *request) send(user string) wire.AppendRequest {
	return wire.AppendRequest{
		ChatID: r.id("chatId"), SenderID: user, ClientMessageID: r.clientMessageID(), Text: r.text(),
		Seen: r.lamport("seen"), Trace: r.trace(),
	}
}

// mark reads ack, and read, which is an ack too.
func (r *request) mark(user string) (chatID string, m wire.Mark) {
	chatID, seq := r.id("chatId"), r.needSeq("seq")
	m = wire.Mark{UserID: user, Delivered: seq}
	if r.kind == "read" {
		m.Read = seq
	}
	return chatID, m
}

func (r *request) history(user string) wire.RangeRequest {
	q := wire.RangeRequest{ChatID: r.id("chatId"), ForUser: user, Times: true}
	askPage(&q, &r.fields)
	return q
}

func (f *fields) trace() string {
	trace := f.str("traceparent")
	if len(trace) > wire.MaxTraceBytes || trace != "" && wire.CheckClientMessageID(trace) != nil {
		f.fail("traceparent must be printable and have at most %d bytes", wire.MaxTraceBytes)
	}
	return trace
}

// askPage reads which page is wanted: from cursor on, or the one that ends before a seq.
func askPage(q *wire.RangeRequest, f *fields) {
	cursor, hasCursor := f.seq("cursor")
	before, hasBefore := f.seq("before")
	q.Count = f.limit(defaultPage)
	switch {
	case hasCursor && hasBefore:
		f.fail("cursor and before exclude each other")
	case hasBefore:
		q.From, q.Before = before, true
	case hasCursor:
		q.From = cursor
	default:
		q.From = 1
	}
}

// defaultPage is how many messages a page holds where the client does not say.
const defaultPage = 50
