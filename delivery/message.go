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
