package deliverytest

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/quorate/quorate/sequencer/wire"
)

const (
	tickEvery  = 100 * time.Millisecond // a client looks what there is to say; a send each time is well under the 20/s of a user
	askAgain   = time.Second            // a send without an answer is sent again
	dialTime   = 3 * time.Second        // for an edge to take a client
	maxPending = 20                     // sends of one client that wait for their answer
)

// Talker is one user on one WebSocket at a time. It sends to its chats while the crowd talks, records all it does and sees, and comes
// back by another edge when its connection is gone.
type Talker struct {
	User, Token string
	Edges       []string // base URLs, such as http://127.0.0.1:8080
	Home        int      // the edge that it begins with
	Chats       []string
	Silent      bool          // it listens
	Patience    time.Duration // for the answer to a send, after which it tries another edge; 0 is for as long as the connection lasts
	Dial        func(ctx context.Context, network, addr string) (net.Conn, error)
	Miss        func(*Frame) bool // the planted bug: frames that the client takes for shown and does not show

	crowd *Crowd
	home  chan struct{} // has one who is elsewhere come home

	mu      sync.Mutex
	at      int // the edge that it is connected to, or nowhere
	sends   int
	pending map[string]*send    // by clientMessageId; sent until acknowledged
	acked   []Send              // the last of them
	shown   map[string]wire.Seq // by chat, over all connections, the missed ones too
}

const nowhere = -1

// Send is a message on its way.
type Send struct {
	Chat, ID, Text string
	Seq            wire.Seq // once it is acknowledged
}

// send is one that waits for its answer.
type send struct {
	Send
	due   time.Time // when it goes out (again)
	since time.Time // when it first went out over the present connection
}

// run talks until ctx is done.
func (t *Talker) run(ctx context.Context) {
	for edge := t.Home; ctx.Err() == nil; {
		if t.session(ctx, edge) {
			edge = t.Home
			continue
		}
		edge = (edge + 1) % len(t.Edges)
		pause(ctx, 50*time.Millisecond)
	}
}

// session is one connection, from hello to its loss. It tells whether it ended because the talker is to come home.
func (t *Talker) session(ctx context.Context, edge int) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := t.dial(ctx, t.Edges[edge])
	if err != nil {
		return false
	}
	defer conn.CloseNow() //nolint:errcheck // over either way
	if write(ctx, conn, map[string]any{"type": "hello", "deviceId": "d1", "cursors": t.cursors()}) != nil {
		return false
	}
	home := false // written by the writer, read when it has ended
	var writer sync.WaitGroup
	defer writer.Wait()
	defer cancel()
	defer t.arrive(nowhere)
	told := map[place]Marks{}
	for welcomed := false; ; {
		_, raw, err := conn.Read(ctx)
		if err != nil {
			cancel()
			writer.Wait()
			return home
		}
		var f Frame
		if err := json.Unmarshal(raw, &f); err != nil {
			t.crowd.Audience.Complain("%s got a frame that is no JSON: %q", t.User, raw)
			return false
		}
		if f.Type == "welcome" && !welcomed {
			welcomed = true
			t.arrive(edge)
			t.crowd.Audience.welcomed()
			writer.Go(func() {
				defer cancel()
				home = t.talk(ctx, conn)
			})
		}
		t.take(&f, told)
	}
}

func (t *Talker) dial(ctx context.Context, base string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	options := &websocket.DialOptions{
		Subprotocols: []string{"quorate.v1"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + t.Token}},
	}
	if t.Dial != nil {
		transport := &http.Transport{DialContext: t.Dial}
		defer transport.CloseIdleConnections()
		options.HTTPClient = &http.Client{Transport: transport}
	}
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(base, "http")+"/stream", options)
	if err == nil {
		conn.SetReadLimit(maxFrame)
	}
	return conn, err
}

// cursors are where the talker goes on in each chat.
func (t *Talker) cursors() map[string]wire.Seq {
	t.mu.Lock()
	defer t.mu.Unlock()
	cursors := map[string]wire.Seq{}
	for _, chat := range t.Chats {
		cursors[chat] = t.shown[chat] + 1
	}
	return cursors
}

func (t *Talker) arrive(edge int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = edge
}

// At is the edge that the talker is connected to, or -1.
func (t *Talker) At() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at
}

// take records one frame. told is what the connection has told of others.
func (t *Talker) take(f *Frame, told map[place]Marks) {
	switch f.Type {
	case "message":
		t.show(f)
	case "receipt":
		at, m := place{f.UserID, f.ChatID}, Marks{wire.Seq(f.DeliveredUpTo), wire.Seq(f.ReadUpTo)}
		t.crowd.Audience.Told(t.User, f.ChatID, f.UserID, told[at], m)
		told[at] = m
	case "sent":
		t.crowd.Record.Acked(f.ChatID, t.User, f.ClientMessageID, wire.Seq(f.SequenceNumber), wire.Lamport(f.Lamport))
		t.sent(f)
	case "error":
		t.refused(f)
	}
}

// show records a message. The talker's own cursor is behind it whether it was shown or missed.
func (t *Talker) show(f *Frame) {
	m, err := f.Message()
	if err != nil {
		t.crowd.Audience.Complain("%s was shown a message with a bad time: %v", t.User, err)
	}
	t.mu.Lock()
	t.shown[m.ChatID] = max(t.shown[m.ChatID], m.Seq)
	t.mu.Unlock()
	if t.Miss != nil && t.Miss(f) {
		return
	}
	t.crowd.Audience.Show(t.User, m)
	if t.crowd.Shown != nil {
		t.crowd.Shown(t, m)
	}
}

func (t *Talker) sent(f *Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.pending[f.ClientMessageID]; s != nil {
		s.Seq = wire.Seq(f.SequenceNumber)
		t.acked = append(t.acked[max(0, len(t.acked)-maxPending):], s.Send)
	}
	delete(t.pending, f.ClientMessageID)
}

func (t *Talker) refused(f *Frame) {
	if !f.Temporary {
		t.crowd.Audience.Complain("%s was refused %s: %s %s", t.User, f.ID, f.Code, f.Detail)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.pending[f.ID]; s != nil {
		s.due = time.Now().Add(max(askAgain/4, time.Duration(f.RetryAfterMs)*time.Millisecond))
	}
}

// talk says what there is to say, at the talker's pace, until ctx is done, the talker's patience is, or it is to come home, which it
// tells. What the last connection left without an answer goes first.
func (t *Talker) talk(ctx context.Context, conn *websocket.Conn) (home bool) {
	t.mu.Lock()
	for _, s := range t.pending {
		s.due, s.since = time.Time{}, time.Time{}
	}
	t.mu.Unlock()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	said := map[string]Marks{} // over this connection
	for {
		frames, patient := t.due(time.Now())
		if t.crowd.reading.Load() {
			frames = append(frames, t.marks(said)...)
		}
		for _, f := range frames {
			if write(ctx, conn, f) != nil {
				return false
			}
		}
		if !patient {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-t.home:
			return true
		case <-tick.C:
		}
	}
}

// due lists the sends to go out now, with a new one among them while the crowd talks, and tells whether the talker is still patient.
func (t *Talker) due(now time.Time) (frames []map[string]any, patient bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.crowd.talking.Load() && !t.Silent && len(t.pending) < maxPending {
		t.sends++
		s := &send{Send: Send{
			Chat: t.Chats[t.sends%len(t.Chats)], ID: t.User + "-" + strconv.Itoa(t.sends), Text: t.crowd.text(t.User, t.sends),
		}}
		t.pending[s.ID] = s
		t.crowd.Record.Begin(s.Chat, t.User, s.ID, s.Text)
	}
	patient = true
	for _, s := range t.pending {
		if s.since.IsZero() {
			s.since = now
		}
		if t.Patience > 0 && now.Sub(s.since) > t.Patience {
			patient = false
		}
		if !s.due.After(now) {
			s.due = now.Add(askAgain)
			frames = append(frames, map[string]any{
				"type": "send", "id": s.ID, "chatId": s.Chat, "clientMessageId": s.ID, "text": s.Text,
			})
		}
	}
	return frames, patient
}

// marks acknowledges what was shown, and reads what was acknowledged a tick ago. said is what this connection has said.
func (t *Talker) marks(said map[string]Marks) (frames []map[string]any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, chat := range t.Chats {
		before := said[chat]
		now := Marks{Delivered: t.shown[chat], Read: before.Delivered}
		t.crowd.Audience.Say(t.User, chat, now)
		if now.Delivered > before.Delivered {
			frames = append(frames, map[string]any{"type": "ack", "chatId": chat, "seq": now.Delivered})
		}
		if now.Read > before.Read {
			frames = append(frames, map[string]any{"type": "read", "chatId": chat, "seq": now.Read})
		}
		said[chat] = now
	}
	return frames
}

// Some gives up to n of the acknowledged sends, the latest.
func (t *Talker) Some(n int) []Send {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.acked[max(0, len(t.acked)-n):])
}

// quiet reports that no send waits for an answer.
func (t *Talker) quiet() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.pending) == 0
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
