package raftfsm

import "github.com/quorate/quorate/sequencer/wire"

// Command is one change of a group's state. An entry carries a batch of them. Every implementation is a plain value, in
// this file or in command_push.go; command_codec.go gives each its bytes.
type Command interface{ kind() commandKind }

// CreateChat makes a chat, or finds the same one made before: it answers the existing chat where type, creator and
// members at creation are the same, and wire.ErrConflict otherwise. The creator is always a member.
type CreateChat struct {
	ChatID           string
	Type             wire.ChatType
	Name             string
	CreatorID        string
	Members          []string // sorted, without repeats, CreatorID included
	HistoryFromStart bool
}

// ChangeMembers adds and removes members. Adding a member or removing a stranger changes nothing. By is the member who
// asks and must be one (wire.ErrNotMember), or "" for an operator. A direct chat's members never change
// (wire.ErrConflict); more than wire.MaxMembers is wire.ErrTooLarge.
type ChangeMembers struct {
	ChatID string
	By     string
	Add    []string
	Remove []string
}

// Append offers one message to a chat. The same (ChatID, SenderID, ClientMessageID) with the same text answers the first
// result with Replayed set, to one who has left since too; with another text it is wire.ErrConflict.
type Append struct {
	ChatID          string
	SenderID        string
	ClientMessageID string
	Text            string
	Seen            wire.Lamport // the highest stamp the sender says it has seen, in any chat
	Trace           string
}

// Receipt raises a member's watermarks. 0 leaves one alone; a smaller value than the present one changes nothing; one
// above the chat's last seq is wire.ErrBadRequest. Read raises Delivered too.
type Receipt struct {
	ChatID    string
	UserID    string
	Delivered wire.Seq
	Read      wire.Seq
}

// ClaimPair makes sure that two users have one direct chat: the first claim wins and every claim answers the winner's
// chat id. Replaces, where not "", is a claimed id that turned out to be unusable and may be overwritten. It belongs to
// the group of UserID, the smaller of the two ids.
type ClaimPair struct {
	UserID   string
	OtherID  string
	ChatID   string
	Replaces string
}

// PutUserChat writes one line of a user's chat list, in the user's group. It comes from the outbox of the chat's group;
// a Version not above the one stored changes nothing. Present is false where the user left.
type PutUserChat struct {
	UserID  string
	Present bool
	Chat    wire.UserChat
}

// AckOutbox deletes the outbox records up to Through, which have been applied in their users' groups.
type AckOutbox struct{ Through uint64 }

// Expire forgets what is older than its times: feed events before FeedBefore can no longer be read, idempotence records
// before DedupBefore are gone. At most Max events are looked at, so that one command's work is bounded.
type Expire struct {
	FeedBefore  wire.Millis
	DedupBefore wire.Millis
	Max         uint32
}

// PutMap replaces the cluster map where its version is still Base, 0 for none yet; otherwise it is wire.ErrConflict. It
// belongs to the meta group.
type PutMap struct {
	Base uint64
	Map  string // an encoded wire.ClusterMap of the version Base+1
}

// TakeLease gives Holder the lease for a time, or prolongs it. It is wire.ErrConflict, with the lease as it stands, while
// another one has it. It belongs to the meta group.
type TakeLease struct {
	Name   string
	Holder string
	For    wire.Millis // milliseconds from the entry's time
}

// DropLease gives a lease back before its end.
type DropLease struct {
	Name   string
	Holder string
	Epoch  uint64
}

// Seen raises the time at which a user was last seen; an earlier time changes nothing. One that is far ahead of the entry's
// is wire.ErrBadRequest. It belongs to the group of UserID. Entries have it from format 2 on.
type Seen struct {
	UserID string
	At     wire.Millis
}

// CommitFeed raises the offset from which a consumer of the group's feed will go on: all before it is done with. A smaller
// one changes nothing; one that the feed has not come to is wire.ErrBadRequest, a consumer too many wire.ErrTooLarge.
// Entries have it from format 2 on.
type CommitFeed struct {
	Consumer string
	Offset   wire.Offset
}

// Archived says that runs of chats stand in an object of the archive, which was written in Term by the leader, read back and
// verified. The hot store lets go of them, all replicas alike; of runs that were archived before, the index points to this
// object from now on. In another term than Term it is wire.ErrConflict. Entries have it from format 3 on.
type Archived struct {
	Term    uint64
	Segment wire.Segment
	Runs    []ArchivedRun // at most 256, ascending in each chat
}

// ArchivedRun is one run of an Archived.
type ArchivedRun struct {
	ChatID   string
	From, To wire.Seq // both included
	Row      uint64   // of the message From in the object; the others follow it
	Reached  uint64   // the chat's sum of watermarks as the object has them, see ColdRun
}

// Retain sets for how long a chat's messages are kept, 0 for ever; without Own it is what the cluster's setting says.
// Entries have it from format 3 on.
type Retain struct {
	ChatID string
	Own    bool
	For    wire.Millis // milliseconds
}

// Forget deletes the messages of a chat up to Through, for good: nobody can read them again. The last message is never
// deleted, and what is archived goes by whole runs, so some may stay. Entries have it from format 3 on.
type Forget struct {
	ChatID  string
	Through wire.Seq
}

// FormatOf gives the first format of entries that may have a command.
func FormatOf(c Command) wire.Format { return c.kind().format() }

// Result is what one Command came to. Err is nil or one of wire's definite sentinels (wrapped); only the field of the
// command's kind is set.
type Result struct {
	Err    error
	Append AppendResult    // Append
	Chat   *wire.Chat      // CreateChat, ChangeMembers
	Fresh  bool            // CreateChat: made now, not found
	Marks  wire.Watermarks // Receipt
	ChatID string          // ClaimPair: the winner
	More   bool            // Expire: there is more to forget
	Lease  wire.Lease      // TakeLease, DropLease
	// Version is that of the new cluster map; PutMap.
	Version uint64
	// Value is what the number is now; Seen: milliseconds, CommitFeed: the offset, Archived: the runs that were taken over,
	// Retain: milliseconds, Forget: the first seq that is left, PutDevice: the version, RemoveDevice: 1 where one was there,
	// MuteChat: milliseconds.
	Value uint64
}

// AppendResult is where an appended message stands.
type AppendResult struct {
	Seq      wire.Seq
	SentAt   wire.Millis
	Lamport  wire.Lamport
	Replayed bool // the message had been appended before; the fields are those of the first time
}
