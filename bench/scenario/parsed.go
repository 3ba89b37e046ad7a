package scenario

import (
	"bytes"
	"strconv"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/bench/socket"
	"github.com/quorate/quorate/sequencer/wire"
)

// parsed keeps the last messages of a room as they came to the member who had each first. A member who gets the same bytes got the same message,
// so they are taken apart once and compared for everyone else: the clients are to take as little of the machine from the servers as can be.
type parsed [parsedRun]parsedMessage

const (
	parsedRun   = 64 // messages of a room: as many as its members are apart, usually
	parsedCrowd = 8  // members from which on it is worth its memory
)

type parsedMessage struct {
	payload []byte
	shown   check.Shown
	number  int // that its sender gave it; -1 for none
}

func newParsed(members int) *parsed {
	if members < parsedCrowd {
		return nil
	}
	return new(parsed)
}

// message gives what a message frame says, good until the next call and for as long as the payload. Whoever got it waits for the message of seq next.
func (p *parsed) message(payload []byte, next wire.Seq) *parsedMessage {
	if p == nil {
		m := parseMessage(payload)
		return &m
	}
	if m := p.known(payload, next); m != nil {
		return m
	}
	m := &p[wire.Seq(socket.Number(payload, `"sequenceNumber":`))%parsedRun]
	if !bytes.Equal(m.payload, payload) {
		*m = parseMessage(bytes.Clone(payload))
	}
	return m
}

// known gives the message of seq next, where it came to somebody in these bytes.
func (p *parsed) known(payload []byte, next wire.Seq) *parsedMessage {
	if p == nil {
		return nil
	}
	if m := &p[next%parsedRun]; bytes.Equal(m.payload, payload) {
		return m
	}
	return nil
}

func parseMessage(payload []byte) parsedMessage {
	m := parsedMessage{payload: payload, shown: check.Shown{
		Seq: wire.Seq(socket.Number(payload, `"sequenceNumber":`)), Sender: socket.Text(payload, `"senderId":"`),
		ID: socket.Text(payload, `"clientMessageId":"`), Text: socket.Text(payload, `"text":"`), Stamp: wire.Lamport(socket.Number(payload, `"lamport":`)),
	}}
	var err error
	if m.number, err = strconv.Atoi(m.shown.ID[min(1, len(m.shown.ID)):]); err != nil {
		m.number = -1
	}
	return m
}
