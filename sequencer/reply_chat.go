package sequencer

import "github.com/quorate/quorate/sequencer/wire"

// chatMap begins the map of a chat, with room for more fields, which must follow.
func chatMap(r *reply, c *wire.Chat, more int) {
	r.maps(12 + more)
	r.fieldStr("chatId", c.ChatID)
	r.fieldStr("type", string(c.Type))
	r.fieldStr("name", c.Name)
	r.fieldStr("creator", c.CreatorID)
	r.field("members")
	memberList(r, c)
	r.field("intervals")
	r.array(len(c.Members))
	for i := range c.Members {
		intervals := c.Members[i].Intervals
		r.array(2 * len(intervals))
		for _, iv := range intervals {
			r.int(int64(iv.From))
			r.int(int64(iv.To))
		}
	}
	history := "join"
	if c.HistoryFromStart {
		history = "start"
	}
	r.fieldStr("history", history)
	r.fieldInt("createdAt", int64(c.CreatedAt))
	r.fieldInt("lastSeq", int64(c.LastSeq))
	r.fieldInt("hotFrom", int64(c.HotFrom))
	r.fieldInt("lamport", int64(c.Lamport))
	r.fieldInt("version", int64(c.Version))
}

func memberList(r *reply, c *wire.Chat) {
	r.array(len(c.Members))
	for i := range c.Members {
		r.str(c.Members[i].UserID)
	}
}

// messageMap is a message, with its times where they were asked for.
func messageMap(r *reply, m *wire.Message, times bool) {
	n := 6
	if times {
		n = 8
	}
	r.maps(n)
	messageFields(r, m)
	if times {
		r.fieldInt("deliveredAt", int64(m.DeliveredAt))
		r.fieldInt("readAt", int64(m.ReadAt))
	}
}

func messageFields(r *reply, m *wire.Message) {
	r.fieldInt("seq", int64(m.Seq))
	r.fieldStr("senderId", m.SenderID)
	r.fieldStr("clientMessageId", m.ClientMessageID)
	r.fieldStr("text", m.Text)
	r.fieldInt("sentAt", int64(m.SentAt))
	r.fieldInt("lamport", int64(m.Lamport))
}

// marksMap is a member's watermarks.
func marksMap(r *reply, m *wire.Watermarks) {
	r.maps(5)
	marksFields(r, m)
}

func marksFields(r *reply, m *wire.Watermarks) {
	r.fieldStr("userId", m.UserID)
	r.fieldInt("deliveredUpTo", int64(m.Delivered))
	r.fieldInt("readUpTo", int64(m.Read))
	r.fieldInt("deliveredAt", int64(m.DeliveredAt))
	r.fieldInt("readAt", int64(m.ReadAt))
}

// eventMap is an event of a feed.
func eventMap(r *reply, e *wire.Event) {
	more := map[wire.EventKind]int{
		wire.EventMessage: 7, wire.EventReceipt: 5, wire.EventMembers: 4, wire.EventChat: 4,
	}[e.Kind]
	r.maps(4 + more)
	r.fieldInt("offset", int64(e.Offset))
	r.fieldStr("kind", string(e.Kind))
	r.fieldStr("chatId", e.ChatID)
	r.fieldInt("at", int64(e.At))
	switch e.Kind {
	case wire.EventMessage:
		messageFields(r, e.Message)
		r.fieldStr("trace", e.Message.Trace)
	case wire.EventReceipt:
		marksFields(r, e.Marks)
	case wire.EventMembers, wire.EventChat:
		r.fieldInt("version", int64(e.Version))
		r.fieldInt("seq", int64(e.Seq))
		r.fieldStrs("added", e.Added)
		r.fieldStrs("removed", e.Removed)
	}
}
