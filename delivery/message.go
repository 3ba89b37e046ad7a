package delivery

import "github.com/quorate/quorate/sequencer/wire"

// message is a committed message on its way to sessions. Its frame is encoded when the first session needs it, once per
// form; the same bytes go to all. It belongs to one goroutine.
type message struct {
	*wire.Message
	typed []byte // for /stream
	plain []byte // for /chats/{chatId}/stream
}

// frame returns the bytes for a session. Nobody changes them.
func (m *message) frame(s *session) []byte {
	if s.plain != "" {
		if m.plain == nil {
			m.plain = encodeMessage(m.Message, true)
		}
		return m.plain
	}
	return m.forStream()
}

// run is consecutive messages of one chat, without a hole and at least one, that are pushed together. Who gets all of them gets them in one
// piece: it is queued, counted and sent as one frame would be.
type run struct {
	list  []message
	text  int    // bytes of text in list
	typed []byte // all of list for /stream, where there is more than one
	plain []byte // for /chats/{chatId}/stream
}

const (
	runMessages = 64
	runBytes    = 16 << 10 // of text, so that a piece is small beside any bound of an outbox
)

func (r *run) first() *message { return &r.list[0] }
func (r *run) last() *message  { return &r.list[len(r.list)-1] }

// takes tells whether a message is the next and the run has room for it.
func (r *run) takes(m *wire.Message) bool {
	return m.ChatID == r.chat() && m.Seq == r.last().Seq+1 && len(r.list) < runMessages && r.text+len(m.Text) <= runBytes
}

// add adds the first message, or one that the run takes. Nobody has asked for frames yet.
func (r *run) add(m *wire.Message) {
	r.list = append(r.list, message{Message: m})
	r.text += len(m.Text)
}

// chat is whose messages they are.
func (r *run) chat() string { return r.list[0].ChatID }

// frames returns the bytes of all for a session. Nobody changes them.
func (r *run) frames(s *session) []byte {
	if len(r.list) == 1 {
		return r.list[0].frame(s)
	}
	all := &r.typed
	if s.plain != "" {
		all = &r.plain
	}
	if *all == nil {
		size := 0
		for i := range r.list {
			size += len(r.list[i].frame(s))
		}
		*all = make([]byte, 0, size)
		for i := range r.list {
			*all = append(*all, r.list[i].frame(s)...)
		}
	}
	return *all
}

// forStream returns the bytes for /stream.
func (m *message) forStream() []byte {
	if m.typed == nil {
		m.typed = encodeMessage(m.Message, false)
	}
	return m.typed
}

// encodeMessage makes a message's WebSocket frame, with or without a type.
func encodeMessage(m *wire.Message, plain bool) []byte {
	body := make([]byte, 0, 320+len(m.Text)+len(m.Text)/8)
	if plain {
		body = append(body, '{')
		start := len(body)
		body = appendMessage(body, m)
		body = append(body[:start], body[start+1:]...) // the first comma
		return closeFrame(body)
	}
	return closeFrame(appendMessage(append(body, `{"type":"message"`...), m))
}
