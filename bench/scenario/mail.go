package scenario

import (
	"fmt"
	"strconv"
	"time"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/sequencer/wire"
)

// mail is one message on its way.
type mail struct {
	room    *room
	number  int // in its room
	user    string
	text    string
	seen    wire.Lamport // the highest stamp that its sender had been shown
	planned time.Time
	begun   time.Time
	known   *check.Send
	twice   bool // it is to be offered again after its ack
	replay  bool // it is offered again
}

// write makes the next message of a room, by one user who has seen so much.
func (r *run) write(room *room, user string, seen wire.Lamport, planned time.Time) *mail {
	n := room.next
	room.next++
	text := r.texts.Text(room.number, n)
	return &mail{
		room: room, number: n, user: user, text: text, seen: seen, planned: planned, begun: time.Now(),
		known: room.chat.Begin(user, messageID(n), text, seen), twice: r.Replay > 0 && r.written.Add(1)%int64(r.Replay) == 0,
	}
}

// messageID is the clientMessageId of message n of a room.
func messageID(n int) string { return "m" + strconv.Itoa(n) }

// frame is the mail as a WebSocket frame. id comes back in the answer.
func (m *mail) frame(id uint64) []byte {
	b := make([]byte, 0, len(m.text)+len(m.room.id)+100)
	b = append(b, `{"type":"send","id":`...)
	b = strconv.AppendUint(b, id, 10)
	b = append(b, `,"chatId":"`...)
	b = append(b, m.room.id...)
	b = append(b, `","clientMessageId":"m`...)
	b = strconv.AppendInt(b, int64(m.number), 10)
	if m.seen > 0 {
		b = append(b, `","seen":`...)
		b = strconv.AppendUint(b, uint64(m.seen), 10)
		b = append(b, `,"text":"`...)
	} else {
		b = append(b, `","text":"`...)
	}
	b = append(b, m.text...)
	return append(b, `"}`...)
}

// errorText is what an error frame says.
func errorText(payload []byte) error { return fmt.Errorf("%.200s", payload) }
