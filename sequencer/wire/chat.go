package wire

// Seq is a message's position in its chat: 1, 2, 3 … with no gap. 0 means "none".
type Seq uint64

// Offset is a position in a group's feed: 1, 2, 3 … with no gap. 0 means "none".
type Offset uint64

// Lamport is a message's causal stamp: larger than that of every message its sender had seen, in any chat.
type Lamport uint64

// Millis is a point in time, in milliseconds since the Unix epoch, UTC. 0 means "not yet".
type Millis int64

// GroupID names one Raft group. Groups are numbered from 0.
type GroupID uint32

// NodeID names one sequencer node, for as long as its data lives.
type NodeID string

// ChatType says what a chat is for; it decides how many members the chat may have.
type ChatType string

// The types of chat.
const (
	Direct    ChatType = "direct" // exactly two members, for ever
	GroupChat ChatType = "group"  // 1 to MaxMembers members
)

// Message is one message of a chat's log.
type Message struct {
	ChatID          string
	Seq             Seq
	SenderID        string
	ClientMessageID string
	Text            string
	SentAt          Millis // never smaller than that of the message before it
	Lamport         Lamport
	Trace           string // W3C traceparent of the send, or ""

	// DeliveredAt and ReadAt are when the last of the other members whose membership covers the message reached it,
	// 0 until then. Filled only where they were asked for.
	DeliveredAt, ReadAt Millis
}

// Interval is a run of a chat's log that a member may read: From to To, both included. To is 0 while it is open.
type Interval struct{ From, To Seq }

// Covers reports whether seq lies in the interval.
func (i Interval) Covers(seq Seq) bool { return seq >= i.From && (i.To == 0 || seq <= i.To) }

// Member is one current member of a chat. Intervals is ascending; the last one is open.
type Member struct {
	UserID    string
	Intervals []Interval
}

// Covers reports whether the member may read seq.
func (m Member) Covers(seq Seq) bool {
	for i := len(m.Intervals) - 1; i >= 0; i-- {
		if m.Intervals[i].Covers(seq) {
			return true
		}
	}
	return false
}

// CoversAll reports whether the member may read all from first to last, in one interval.
func (m Member) CoversAll(first, last Seq) bool {
	for i := len(m.Intervals) - 1; i >= 0; i-- {
		if m.Intervals[i].Covers(first) {
			return m.Intervals[i].Covers(last)
		}
	}
	return false
}

// Chat is a chat as its group knows it. Members is sorted by UserID and holds the current members only.
type Chat struct {
	ChatID           string
	Type             ChatType
	Name             string
	CreatorID        string
	CreatedAt        Millis
	HistoryFromStart bool   // one who joins reads from seq 1, not from joining on
	Version          uint64 // rises by one with every change of members
	LastSeq          Seq
	HotFrom          Seq // the first seq in the hot store
	Lamport          Lamport
	Members          []Member
}

// Member returns the current member userID, or false.
func (c *Chat) Member(userID string) (Member, bool) {
	lo, hi := 0, len(c.Members)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if c.Members[mid].UserID < userID {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(c.Members) && c.Members[lo].UserID == userID {
		return c.Members[lo], true
	}
	return Member{}, false
}

// Watermarks are how far one member has come in a chat, with the time of the last rise of each.
type Watermarks struct {
	UserID              string
	Delivered, Read     Seq // Read <= Delivered <= the chat's last seq
	DeliveredAt, ReadAt Millis
}

// UserChat is one line of a user's chat list.
type UserChat struct {
	ChatID  string
	Type    ChatType
	Name    string
	Version uint64 // the chat's Version that this line reflects
}

// EventKind says what an Event tells.
type EventKind string

// The kinds of event in a feed.
const (
	EventMessage EventKind = "message" // Message is set
	EventReceipt EventKind = "receipt" // Marks is set: a member's watermarks rose
	EventMembers EventKind = "members" // Added and Removed are set
	EventChat    EventKind = "chat"    // a chat was created; Added holds its members
)

// Event is one committed event of a group's feed.
type Event struct {
	Offset  Offset
	Kind    EventKind
	ChatID  string
	Message *Message    // of EventMessage
	Marks   *Watermarks // of EventReceipt
	Version uint64      // of EventMembers and EventChat: the chat's Version after it
	Seq     Seq         // of EventMembers and EventChat: the chat's last seq at that time
	Added   []string
	Removed []string
	At      Millis
}
