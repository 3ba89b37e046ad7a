package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

func (s *Server) sendMessage(ctx context.Context, c *call) error {
	f, err := s.body(c)
	if err != nil {
		return err
	}
	q := wire.AppendRequest{
		ChatID: c.arg, SenderID: c.user, ClientMessageID: f.clientMessageID(), Text: f.text(), Seen: f.lamport("seen"),
		Trace: traceparent(c.r.Header.Get("traceparent")),
	}
	if f.err != nil {
		return f.err
	}
	if p := s.rates.take(c.user, s.now()); p != nil {
		return p
	}
	began := time.Now()
	s.underWay.begin(q.ChatID)
	a, err := s.seq.Append(ctx, q)
	s.underWay.end(q.ChatID, a.Seq)
	s.stats.answered(began, a, err)
	if err != nil {
		return err
	}
	m := wire.Message{
		ChatID: q.ChatID, Seq: a.Seq, SenderID: q.SenderID, ClientMessageID: q.ClientMessageID, Text: q.Text,
		SentAt: a.SentAt, Lamport: a.Lamport,
	}
	status := http.StatusCreated
	if a.Replayed {
		status = http.StatusOK
		c.w.Header().Set("Idempotency-Replayed", "true")
	}
	body := appendMessage([]byte{'{'}, &m)
	body = append(append([]byte{'{'}, body[2:]...), `,"status":"sent"}`...)
	writeJSON(c.w, status, body)
	return nil
}

// traceparent takes the W3C header where it can be one; anything else is no reason to refuse a message.
func traceparent(h string) string {
	if len(h) > wire.MaxTraceBytes || wire.CheckClientMessageID(h) != nil {
		return ""
	}
	return h
}

func (s *Server) listMessages(ctx context.Context, c *call) error {
	q := wire.RangeRequest{ChatID: c.arg, ForUser: c.user, Times: true}
	values, err := c.query()
	if err != nil {
		return err
	}
	if err := askQuery(&q, values); err != nil {
		return err
	}
	page, err := s.history.page(ctx, q)
	if err != nil {
		return readFault(err)
	}
	body := appendPage([]byte{'{'}, page, q.Before, s.limits.PageBytes)
	writeJSON(c.w, http.StatusOK, append(body, '}'))
	return nil
}

// askQuery is askPage for the parameters of a URL.
func askQuery(q *wire.RangeRequest, values url.Values) (err error) {
	if q.Count, err = queryLimit(values); err != nil {
		return err
	}
	q.From = 1
	switch {
	case values.Has("cursor") && values.Has("before"):
		return fmt.Errorf("%w: cursor and before exclude each other", wire.ErrBadRequest)
	case values.Has("before"):
		q.Before = true
		q.From, err = parseSeq("before", values.Get("before"))
	case values.Has("cursor"):
		q.From, err = parseSeq("cursor", values.Get("cursor"))
	}
	return err
}

func (s *Server) readMessage(ctx context.Context, c *call) error {
	chatID, seq, err := parseMessageID(c.arg)
	if err != nil {
		return err
	}
	res, err := s.seq.Receipt(ctx, chatID, []wire.Mark{{UserID: c.user, Read: seq}})
	if err == nil {
		err = res[0].Err
	}
	if err != nil {
		return noMessage(err)
	}
	body := strconv.AppendUint([]byte(`{"readUpTo":`), uint64(res[0].Read), 10)
	writeJSON(c.w, http.StatusOK, append(appendTime(body, "readAt", res[0].ReadAt), '}'))
	return nil
}

func (s *Server) listReceipts(ctx context.Context, c *call) error {
	chatID, seq, err := parseMessageID(c.arg)
	if err != nil {
		return err
	}
	marks, err := s.seq.Receipts(ctx, chatID, seq, c.user)
	if errors.Is(err, wire.ErrArchived) {
		marks, err = s.history.receipts(ctx, chatID, seq, c.user)
	}
	if err != nil {
		return noMessage(readFault(err))
	}
	body := []byte(`{"receipts":[`)
	for i, m := range marks {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendJSONString(append(body, `{"userId":`...), m.UserID)
		body = appendTime(body, "deliveredAt", m.DeliveredAt)
		body = append(appendTime(body, "readAt", m.ReadAt), '}')
	}
	writeJSON(c.w, http.StatusOK, append(body, "]}"...))
	return nil
}

// noMessage turns the sequencer's "no such seq" into not found: the id was well formed, but no message has it.
func noMessage(err error) error {
	if errors.Is(err, wire.ErrBadRequest) {
		return refuse(codeNotFound, "no such message")
	}
	return err
}

// parseMessageID takes "<chatId>:<sequenceNumber>" apart.
func parseMessageID(id string) (chatID string, seq wire.Seq, err error) {
	i := strings.LastIndexByte(id, ':')
	if i < 0 {
		return "", 0, fmt.Errorf("%w: messageId is <chatId>:<sequenceNumber>", wire.ErrBadRequest)
	}
	if err := wire.CheckID("the chatId in messageId", id[:i]); err != nil {
		return "", 0, err
	}
	seq, err = parseSeq("the sequenceNumber in messageId", id[i+1:])
	return id[:i], seq, err
}
