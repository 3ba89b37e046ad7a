package raftfsm

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/quorate/quorate/sequencer/wire"
)

// commandKind is the byte that names a command in an entry.
type commandKind byte

const (
	kindCreateChat commandKind = iota + 1
	kindChangeMembers
	kindAppend
	kindReceipt
	kindClaimPair
	kindPutUserChat
	kindAckOutbox
	kindExpire
	kindPutMap
	kindTakeLease
	kindDropLease
	kindSeen
	kindCommitFeed
	kindArchived
	kindRetain
	kindForget
	kindPutDevice
	kindRemoveDevice
	kindMuteChat
)

// format is the first one of entries that have the kind.
func (k commandKind) format() wire.Format {
	switch {
	case k >= kindPutDevice:
		return 4
	case k >= kindArchived:
		return 3
	case k >= kindSeen:
		return 2
	}
	return 1
}

func (CreateChat) kind() commandKind    { return kindCreateChat }
func (ChangeMembers) kind() commandKind { return kindChangeMembers }
func (Append) kind() commandKind        { return kindAppend }
func (Receipt) kind() commandKind       { return kindReceipt }
func (ClaimPair) kind() commandKind     { return kindClaimPair }
func (PutUserChat) kind() commandKind   { return kindPutUserChat }
func (AckOutbox) kind() commandKind     { return kindAckOutbox }
func (Expire) kind() commandKind        { return kindExpire }
func (PutMap) kind() commandKind        { return kindPutMap }
func (TakeLease) kind() commandKind     { return kindTakeLease }
func (DropLease) kind() commandKind     { return kindDropLease }
func (Seen) kind() commandKind          { return kindSeen }
func (CommitFeed) kind() commandKind    { return kindCommitFeed }
func (Archived) kind() commandKind      { return kindArchived }
func (Retain) kind() commandKind        { return kindRetain }
func (Forget) kind() commandKind        { return kindForget }

// AppendCommand appends a command as it stands in an entry: kind, length of the body, body.
func AppendCommand(dst []byte, c Command) []byte {
	dst = append(dst, byte(c.kind()))
	at := len(dst)
	dst = append(dst, 0, 0, 0) // room for a length of up to 2 MiB, the longest uvarint a command needs
	dst = appendBody(dst, c)
	size := len(dst) - at - 3
	if size >= 1<<21 {
		panic(fmt.Sprintf("BUG: a command of %d bytes", size))
	}
	n := binary.PutUvarint(dst[at:at+3], uint64(size))
	if n < 3 {
		copy(dst[at+n:], dst[at+3:])
		dst = dst[:len(dst)-(3-n)]
	}
	return dst
}

func appendBody(dst []byte, c Command) []byte {
	switch c := c.(type) {
	case CreateChat:
		dst = appendString(dst, c.ChatID)
		dst = appendString(dst, string(c.Type))
		dst = appendString(dst, c.Name)
		dst = appendString(dst, c.CreatorID)
		dst = appendStrings(dst, c.Members)
		return appendBool(dst, c.HistoryFromStart)
	case ChangeMembers:
		dst = appendString(dst, c.ChatID)
		dst = appendString(dst, c.By)
		dst = appendStrings(dst, c.Add)
		return appendStrings(dst, c.Remove)
	case Append:
		dst = appendString(dst, c.ChatID)
		dst = appendString(dst, c.SenderID)
		dst = appendString(dst, c.ClientMessageID)
		dst = appendString(dst, c.Text)
		dst = binary.AppendUvarint(dst, uint64(c.Seen))
		return appendString(dst, c.Trace)
	case Receipt:
		dst = appendString(dst, c.ChatID)
		dst = appendString(dst, c.UserID)
		dst = binary.AppendUvarint(dst, uint64(c.Delivered))
		return binary.AppendUvarint(dst, uint64(c.Read))
	case ClaimPair:
		dst = appendString(dst, c.UserID)
		dst = appendString(dst, c.OtherID)
		dst = appendString(dst, c.ChatID)
		return appendString(dst, c.Replaces)
	case PutUserChat:
		dst = appendString(dst, c.UserID)
		dst = appendBool(dst, c.Present)
		dst = appendString(dst, c.Chat.ChatID)
		dst = appendString(dst, string(c.Chat.Type))
		dst = appendString(dst, c.Chat.Name)
		return binary.AppendUvarint(dst, c.Chat.Version)
	case AckOutbox:
		return binary.AppendUvarint(dst, c.Through)
	case Expire:
		dst = binary.AppendUvarint(dst, uint64(c.FeedBefore))
		dst = binary.AppendUvarint(dst, uint64(c.DedupBefore))
		return binary.AppendUvarint(dst, uint64(c.Max))
	case PutMap:
		return appendString(binary.AppendUvarint(dst, c.Base), c.Map)
	case TakeLease:
		dst = appendString(appendString(dst, c.Name), c.Holder)
		return binary.AppendUvarint(dst, uint64(c.For))
	case DropLease:
		dst = appendString(appendString(dst, c.Name), c.Holder)
		return binary.AppendUvarint(dst, c.Epoch)
	case Seen:
		return binary.AppendUvarint(appendString(dst, c.UserID), uint64(c.At))
	case CommitFeed:
		return binary.AppendUvarint(appendString(dst, c.Consumer), uint64(c.Offset))
	case Archived:
		return appendRuns(appendSegment(binary.AppendUvarint(dst, c.Term), &c.Segment), c.Runs)
	case Retain:
		return binary.AppendUvarint(appendBool(appendString(dst, c.ChatID), c.Own), uint64(c.For))
	case Forget:
		return binary.AppendUvarint(appendString(dst, c.ChatID), uint64(c.Through))
	case PutDevice:
		return appendDevice(appendString(dst, c.UserID), &c.Device)
	case RemoveDevice:
		return binary.AppendUvarint(appendString(appendString(dst, c.UserID), c.DeviceID), c.Version)
	case MuteChat:
		return binary.AppendUvarint(appendString(appendString(dst, c.UserID), c.ChatID), uint64(c.Until))
	}
	panic(fmt.Sprintf("BUG: unknown command %T", c))
}

// decodeBody is the inverse of appendBody. The strings of a command share one copy of its body: what outlives the command
// and is much smaller must be cloned.
func decodeBody(kind commandKind, body []byte) (Command, error) {
	d := decoder{rest: body, text: string(body)}
	var c Command
	switch kind {
	case kindCreateChat:
		c = CreateChat{
			ChatID: d.string(), Type: wire.ChatType(d.string()), Name: d.string(), CreatorID: d.string(),
			Members: d.strings(), HistoryFromStart: d.bool(),
		}
	case kindChangeMembers:
		c = ChangeMembers{ChatID: d.string(), By: d.string(), Add: d.strings(), Remove: d.strings()}
	case kindAppend:
		c = Append{
			ChatID: d.string(), SenderID: d.string(), ClientMessageID: d.string(), Text: d.string(),
			Seen: wire.Lamport(d.uvarint()), Trace: d.string(),
		}
	case kindReceipt:
		c = Receipt{ChatID: d.string(), UserID: d.string(), Delivered: wire.Seq(d.uvarint()), Read: wire.Seq(d.uvarint())}
	case kindClaimPair:
		c = ClaimPair{UserID: d.string(), OtherID: d.string(), ChatID: d.string(), Replaces: d.string()}
	case kindPutUserChat:
		c = PutUserChat{UserID: d.string(), Present: d.bool(), Chat: wire.UserChat{
			ChatID: d.string(), Type: wire.ChatType(d.string()), Name: d.string(), Version: d.uvarint(),
		}}
	case kindAckOutbox:
		c = AckOutbox{Through: d.uvarint()}
	case kindExpire:
		c = Expire{FeedBefore: d.millis(), DedupBefore: d.millis(), Max: uint32(d.atMost(math.MaxUint32))}
	case kindPutMap:
		c = PutMap{Base: d.uvarint(), Map: d.string()}
	case kindTakeLease:
		c = TakeLease{Name: d.string(), Holder: d.string(), For: d.millis()}
	case kindDropLease:
		c = DropLease{Name: d.string(), Holder: d.string(), Epoch: d.uvarint()}
	case kindSeen:
		c = Seen{UserID: d.string(), At: d.millis()}
	case kindCommitFeed:
		c = CommitFeed{Consumer: d.string(), Offset: wire.Offset(d.uvarint())}
	case kindArchived:
		c = Archived{Term: d.uvarint(), Segment: d.segment(), Runs: d.runs()}
	case kindRetain:
		c = Retain{ChatID: d.string(), Own: d.bool(), For: d.millis()}
	case kindForget:
		c = Forget{ChatID: d.string(), Through: wire.Seq(d.uvarint())}
	case kindPutDevice:
		c = PutDevice{UserID: d.string(), Device: d.device()}
	case kindRemoveDevice:
		c = RemoveDevice{UserID: d.string(), DeviceID: d.string(), Version: d.uvarint()}
	case kindMuteChat:
		c = MuteChat{UserID: d.string(), ChatID: d.string(), Until: d.millis()}
	default:
		return nil, fmt.Errorf("unknown command kind %d", kind)
	}
	return c, d.end()
}
