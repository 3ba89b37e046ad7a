package wire

import (
	"errors"
	"fmt"
)

// errReply is a reply that is not in the contract between the two tiers: the node speaks another version, or is none.
var errReply = errors.New("malformed reply of a sequencer")

// fields reads fields of a map and keeps the first thing that was wrong with them, so that a decoder asks once at its end.
type fields struct {
	Reply
	err error
}

func (f *fields) fail(name string, why error) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: field %s: %w", errReply, name, why)
	}
}

// num gives a number; a field that is not there or null is 0.
func (f *fields) num(name string) uint64 {
	v := f.Field(name)
	if v.IsNull() {
		return 0
	}
	n, err := v.Uint()
	if err != nil {
		f.fail(name, err)
	}
	return n
}

// must is num of a field that may not be 0.
func (f *fields) must(name string) uint64 {
	n := f.num(name)
	if n == 0 {
		f.fail(name, errors.New("missing or 0"))
	}
	return n
}

// millis gives a time.
func (f *fields) millis(name string) Millis {
	n := f.num(name)
	if n > uint64(MaxSeq) { // more than 200,000 years
		f.fail(name, errors.New("no point in time"))
		return 0
	}
	return Millis(n)
}

// str gives a text; a field that is not there or null is "".
func (f *fields) str(name string) string {
	v := f.Field(name)
	if v.kind != KindString && v.kind != KindNull {
		f.fail(name, errKind)
	}
	return v.Str()
}

// id gives a chatId or userId.
func (f *fields) id(name string) string {
	s := f.str(name)
	if err := CheckID(name, s); err != nil {
		f.fail(name, errors.New("not an id"))
	}
	return s
}

// strs gives a list of texts; a field that is not there or null is empty.
func (f *fields) strs(name string) []string {
	list, err := decodeStrings(f.Field(name))
	if err != nil {
		f.fail(name, err)
	}
	return list
}

// list gives the elements of an array; a field that is not there or null is empty.
func (f *fields) list(name string) []Reply {
	v := f.Field(name)
	if v.kind != KindArray && v.kind != KindNull {
		f.fail(name, errKind)
		return nil
	}
	return v.elems
}

func decodeStrings(r Reply) ([]string, error) {
	if r.kind == KindNull {
		return nil, nil
	}
	if r.kind != KindArray {
		return nil, fmt.Errorf("%w: not an array", errReply)
	}
	list := make([]string, len(r.elems))
	for i := range r.elems {
		if r.elems[i].kind != KindString {
			return nil, fmt.Errorf("%w: element %d is not a string", errReply, i)
		}
		list[i] = r.elems[i].text
	}
	return list, nil
}

func decodeID(r Reply) (string, error) {
	if err := CheckID("id", r.Str()); err != nil {
		return "", fmt.Errorf("%w: not an id", errReply)
	}
	return r.Str(), nil
}

func decodeAck(r Reply) (AppendAck, error) {
	f := fields{Reply: r}
	ack := AppendAck{
		Seq: Seq(f.must("seq")), SentAt: f.millis("sentAt"), Lamport: Lamport(f.num("lamport")), Replayed: f.num("replayed") != 0,
	}
	if f.err != nil {
		return AppendAck{}, f.err
	}
	return ack, nil
}

// decodeMessage reads a message map; chatID is that of the map around it.
func decodeMessage(chatID string, r Reply) (Message, error) {
	f := fields{Reply: r}
	m := Message{
		ChatID: chatID, Seq: Seq(f.must("seq")), SenderID: f.id("senderId"), ClientMessageID: f.str("clientMessageId"),
		Text: f.str("text"), SentAt: f.millis("sentAt"), Lamport: Lamport(f.num("lamport")), Trace: f.str("trace"),
		DeliveredAt: f.millis("deliveredAt"), ReadAt: f.millis("readAt"),
	}
	if f.err != nil {
		return Message{}, f.err
	}
	return m, nil
}

func decodePage(r Reply) (Page, error) {
	f := fields{Reply: r}
	list := f.list("messages")
	page := Page{Next: Seq(f.num("next")), Archived: f.num("archived") != 0, Messages: make([]Message, 0, len(list))}
	chatID := f.id("chatId")
	for i := range list {
		m, err := decodeMessage(chatID, list[i])
		if err != nil {
			return Page{}, err
		}
		if i > 0 && m.Seq <= page.Messages[i-1].Seq {
			return Page{}, fmt.Errorf("%w: seq %d after %d", errReply, m.Seq, page.Messages[i-1].Seq)
		}
		page.Messages = append(page.Messages, m)
	}
	if page.Archived {
		page.Runs, page.Reach = decodeRuns(&f), decodeReach(&f)
	}
	if f.err != nil {
		return Page{}, f.err
	}
	return page, nil
}

// decodeHead reads the answer to CHAT.HEAD of one chat.
func decodeHead(chatID string) func(Reply) (Head, error) {
	return func(r Reply) (Head, error) {
		heads, err := decodeHeads([]string{chatID}, r)
		if err != nil {
			return Head{}, err
		}
		return heads[0], nil
	}
}

// decodeHeads reads the answer to CHAT.HEAD of these chats.
func decodeHeads(chatIDs []string, r Reply) ([]Head, error) {
	if r.kind != KindArray || len(r.elems) != len(chatIDs) {
		return nil, fmt.Errorf("%w: not an array of %d heads", errReply, len(chatIDs))
	}
	heads := make([]Head, len(chatIDs))
	for i, e := range r.elems {
		heads[i].ChatID = chatIDs[i]
		if e.IsNull() {
			continue
		}
		f := fields{Reply: e}
		heads[i] = Head{
			ChatID: f.id("chatId"), Found: true, LastSeq: Seq(f.num("lastSeq")), HotFrom: Seq(f.num("hotFrom")),
			Lamport: Lamport(f.num("lamport")), DeliveredUpTo: Seq(f.num("deliveredUpTo")), ReadUpTo: Seq(f.num("readUpTo")),
			From: Seq(f.num("from")), Since: Seq(f.num("since")),
		}
		if heads[i].ChatID != chatIDs[i] {
			f.fail("chatId", errors.New("not the chat that was asked for"))
		}
		if f.err != nil {
			return nil, f.err
		}
	}
	return heads, nil
}

func decodeUserChats(r Reply) (UserChatsPage, error) {
	f := fields{Reply: r}
	list := f.list("chats")
	page := UserChatsPage{Chats: make([]UserChat, len(list)), Next: f.str("next")}
	for i := range list {
		line := fields{Reply: list[i]}
		page.Chats[i] = UserChat{
			ChatID: line.id("chatId"), Type: ChatType(line.str("type")), Name: line.str("name"), Version: line.num("version"),
		}
		if line.err != nil {
			return UserChatsPage{}, line.err
		}
	}
	if r.kind != KindMap && r.kind != KindArray {
		f.fail("chats", errKind)
	}
	if f.err != nil {
		return UserChatsPage{}, f.err
	}
	return page, nil
}
