// Package relay is what delivery nodes say to each other: an edge tells a hub who is connected to it, and the hub tells the edge
// what happened in their chats. FORMAT.md in this directory tells the bytes.
package relay

import (
	"errors"

	"github.com/quorate/quorate/sequencer/wire"
)

// Version is what this program speaks. Another one is refused at hello; a later program that can speak this one says so there.
const Version = 1

// Limits of the protocol.
const (
	MaxFrameBytes = 4 << 20 // of one frame; a batch is far below
	MaxUsers      = 4096    // in one Users frame
	MaxGroups     = 4096    // in one Attach frame
)

// ErrFrame is the error of bytes that are no frame of this protocol.
var ErrFrame = errors.New("relay: bad frame")

// Kind says what a frame is.
type Kind byte

// The kinds of frame. Those of an edge have odd numbers, those of a hub even ones.
const (
	KindHello     Kind = 1  // Hello, first of all
	KindUsers     Kind = 3  // Users
	KindAttach    Kind = 5  // Places: begin to send, from where this edge stands in each feed
	KindPlaces    Kind = 7  // Places: where this edge stands now
	KindDone      Kind = 9  // Number of the last batch that has been handed to clients
	KindHint      Kind = 11 // Hint for the members of a chat
	KindAsk       Kind = 13 // Ask for a user's presence
	KindWelcome   Kind = 2  // Hello of the hub
	KindAnnounced Kind = 4  // Number of the last Users frame that has been heeded
	KindBatch     Kind = 6  // Batch
	KindCovered   Kind = 8  // Covered
	KindAnswer    Kind = 10 // Answer to an Ask
)

// Hello is how either end begins.
type Hello struct {
	Version uint64
	Node    string // the id of the process: another one after each start
	Region  string
	Peer    bool // from a hub of another region, which has no clients to serve: it sends hints and asks
}

// Status is whether a user is there.
type Status byte

// The states of a user, by how present he is.
const (
	Offline Status = iota
	Away
	Online
)

func (s Status) String() string {
	switch s {
	case Online:
		return "online"
	case Away:
		return "away"
	}
	return "offline"
}

// Users tells which users have connections to the edge. With Reset it is the first of a full list, and all users that were told
// before are forgotten.
type Users struct {
	Number uint64 // rises with each frame; Announced names it
	Reset  bool
	Users  []User
}

// User is one user's state at one edge.
type User struct {
	ID     string
	Status Status // Offline: the last of his connections is gone
}

// Place is where somebody stands in the feed of a group.
type Place struct {
	Group wire.GroupID
	Next  wire.Offset // the first event that has not been handed on; 0: none is known
}

// ItemKind says what an Item tells.
type ItemKind byte

// The kinds of item.
const (
	ItemMessage  ItemKind = iota + 1 // Message
	ItemReceipt                      // Marks and At: how far a member of the chat is
	ItemChat                         // Frame tells of a change of the chat
	ItemCreated                      // Frame tells of a new chat
	ItemLeft                         // the users have left the chat; Frame tells them
	ItemLook                         // the users may have missed messages of the chat up to Seq, or any with 0
	ItemTyping                       // UserID types in the chat
	ItemPresence                     // UserID's Presence
)

// Item is one thing to tell some users.
type Item struct {
	Kind     ItemKind
	ChatID   string // "" in ItemPresence
	Message  *wire.Message
	Marks    wire.Watermarks
	At       wire.Millis
	Frame    []byte // of WebSocket, as the clients get it
	Seq      wire.Seq
	UserID   string
	Presence Presence
}

// Presence is what others may know of a user.
type Presence struct {
	Status   Status
	LastSeen wire.Millis // 0 where it is not known
}

// Batch is items with the users that each is for.
type Batch struct {
	Number  uint64 // rises by one; Done names it
	Entries []Entry
}

// Entry is an item and those of the edge's users it is for.
type Entry struct {
	Item  Item
	Users []string
}

// Covered says that all events of a group's feed from From to before To have been sent to this edge, as far as they concern users
// that it had told of, in frames before this one.
type Covered struct {
	Group    wire.GroupID
	From, To wire.Offset
}

// HintKind says what a Hint tells.
type HintKind byte

// The kinds of hint.
const (
	HintTyping   HintKind = iota + 1 // UserID types in Chats[0]
	HintPresence                     // UserID's presence, for the members of each of Chats
)

// Hint is something of passing worth for the members of chats. It goes to the hub that reads the feed of the chats' group, which passes
// it on to the hubs of other regions unless Relayed.
type Hint struct {
	Kind     HintKind
	UserID   string
	Presence Presence
	Relayed  bool
	Chats    []string
}

// Ask is a question for a user's presence, and Answer its answer.
type Ask struct {
	Number uint64
	UserID string
}

// Answer answers the Ask of the same Number.
type Answer struct {
	Number   uint64
	Presence Presence
}
