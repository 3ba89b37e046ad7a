package relay

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

var items = []Item{
	{Kind: ItemMessage, ChatID: "tea", Message: &wire.Message{
		ChatID: "tea", Seq: 7, SenderID: "ann", ClientMessageID: "c1", Text: "hällo", SentAt: 1795437901838, Lamport: 9, Trace: "00-1-2-01",
	}},
	{Kind: ItemReceipt, ChatID: "tea", Marks: wire.Watermarks{UserID: "bob", Delivered: 7, Read: 6, DeliveredAt: 5, ReadAt: 4}, At: 5},
	{Kind: ItemChat, ChatID: "tea", Frame: []byte{0x81, 2, '{', '}'}},
	{Kind: ItemCreated, ChatID: "tea", Frame: []byte{0x81, 0}},
	{Kind: ItemLeft, ChatID: "tea", Frame: []byte{0x81, 0}},
	{Kind: ItemLook, ChatID: "tea", Seq: 3},
	{Kind: ItemTyping, ChatID: "tea", UserID: "ann"},
	{Kind: ItemPresence, UserID: "ann", Presence: Presence{Away, 12}},
}

// frames has one of each kind, and what its decoder has to give.
func frames() (encoded [][]byte, want []any) {
	add := func(b []byte, v any) { encoded, want = append(encoded, b), append(want, v) }
	hello := Hello{Version: Version, Node: "d1", Region: "eu", Peer: true}
	add(AppendHello(nil, KindHello, hello), hello)
	add(AppendHello(nil, KindWelcome, hello), hello)
	users := Users{Number: 4, Reset: true, Users: []User{{"ann", Online}, {"bob", Offline}}}
	add(AppendUsers(nil, users), users)
	places := []Place{{0, 17}, {3, 0}}
	add(AppendPlaces(nil, KindAttach, places), places)
	add(AppendPlaces(nil, KindPlaces, places), places)
	add(AppendNumber(nil, KindDone, 300), uint64(300))
	add(AppendNumber(nil, KindAnnounced, 5), uint64(5))
	covered := Covered{Group: 3, From: 10, To: 20}
	add(AppendCovered(nil, covered), covered)
	batch, entries := Batch{Number: 12}, [][]byte{}
	for i := range items {
		e := Entry{Item: items[i], Users: []string{"ann", "bob"}[:1+i%2]}
		batch.Entries = append(batch.Entries, e)
		entries = append(entries, AppendEntry(nil, AppendItem(nil, &e.Item), e.Users))
	}
	add(AppendBatch(nil, batch.Number, entries), batch)
	hint := Hint{Kind: HintPresence, UserID: "ann", Presence: Presence{Online, 9}, Relayed: true, Chats: []string{"tea", "milk"}}
	add(AppendHint(nil, hint), hint)
	add(AppendAsk(nil, Ask{8, "ann"}), Ask{8, "ann"})
	add(AppendAnswer(nil, Answer{8, Presence{Offline, 77}}), Answer{8, Presence{Offline, 77}})
	return encoded, want
}

// decode decodes a payload by its kind.
func decode(k Kind, b []byte) (any, error) {
	switch k {
	case KindHello, KindWelcome:
		return DecodeHello(b)
	case KindUsers:
		return DecodeUsers(b)
	case KindAttach, KindPlaces:
		return DecodePlaces(b)
	case KindDone, KindAnnounced:
		return DecodeNumber(b)
	case KindCovered:
		return DecodeCovered(b)
	case KindBatch:
		return DecodeBatch(b)
	case KindHint:
		return DecodeHint(b)
	case KindAsk:
		return DecodeAsk(b)
	case KindAnswer:
		return DecodeAnswer(b)
	}
	return nil, ErrFrame
}

func TestFrames_ComeBackAsTheyWere(t *testing.T) {
	encoded, want := frames()
	stream := bytes.NewReader(bytes.Join(encoded, nil))
	var buf []byte
	for i := range want {
		k, payload, grown, err := Read(stream, buf)
		buf = grown
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		got, err := decode(k, payload)
		if err != nil || !reflect.DeepEqual(got, want[i]) {
			t.Errorf("kind %d: %+v, %v; want %+v", k, got, err, want[i])
		}
	}
}

func TestFrames_CutShortOrTooLongAreRefused(t *testing.T) {
	encoded, _ := frames()
	for _, frame := range encoded {
		k, payload := Kind(frame[4]), frame[5:]
		for cut := range payload {
			if _, err := decode(k, payload[:cut]); !errors.Is(err, ErrFrame) {
				t.Errorf("kind %d cut to %d of %d bytes: %v", k, cut, len(payload), err)
			}
		}
		if _, err := decode(k, append(bytes.Clone(payload), 0)); !errors.Is(err, ErrFrame) {
			t.Errorf("kind %d with a byte too many: %v", k, err)
		}
	}
	for _, head := range [][]byte{{0, 0, 0, 0, 1}, {1, 0, 64, 0, 1}, {255, 255, 255, 255, 1}} {
		if _, _, _, err := Read(bytes.NewReader(head), nil); !errors.Is(err, ErrFrame) {
			t.Errorf("head % x: %v", head, err)
		}
	}
}

// FuzzDecode wants of any bytes an error, or a value that is the same when it is encoded and decoded again.
func FuzzDecode(f *testing.F) {
	encoded, _ := frames()
	for _, frame := range encoded {
		f.Add(frame[4], frame[5:])
	}
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		v, err := decode(Kind(kind), payload)
		if err != nil {
			return
		}
		again, err := decode(Kind(kind), encode(Kind(kind), v)[5:])
		if err != nil || !reflect.DeepEqual(v, again) {
			t.Fatalf("kind %d: %+v came back as %+v, %v", kind, v, again, err)
		}
	})
}

func encode(k Kind, v any) []byte {
	switch v := v.(type) {
	case Hello:
		return AppendHello(nil, k, v)
	case Users:
		return AppendUsers(nil, v)
	case []Place:
		return AppendPlaces(nil, k, v)
	case uint64:
		return AppendNumber(nil, k, v)
	case Covered:
		return AppendCovered(nil, v)
	case Batch:
		var entries [][]byte
		for i := range v.Entries {
			entries = append(entries, AppendEntry(nil, AppendItem(nil, &v.Entries[i].Item), v.Entries[i].Users))
		}
		return AppendBatch(nil, v.Number, entries)
	case Hint:
		return AppendHint(nil, v)
	case Ask:
		return AppendAsk(nil, v)
	case Answer:
		return AppendAnswer(nil, v)
	}
	return nil
}
