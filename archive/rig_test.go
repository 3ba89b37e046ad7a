package archive_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

var someInfo = archive.Info{Cluster: "c-1", Group: 3, Term: 7, CreatedAt: 1_700_000_000_000}

// words make texts that compress about as well as what people write.
var words = []string{
	"hello", "see", "you", "tomorrow", "at", "the", "station", "ok", "thanks", "a", "lot", "running", "late", "call", "me", "when", "home",
	"did", "they", "answer", "yet", "no", "yes", "I", "will", "ask", "again", "dinner", "on", "friday", "with", "everyone", "photo", "from", "trip",
}

func text(r *rand.Rand) string {
	var b bytes.Buffer
	for range 3 + r.IntN(20) {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(" .,"[r.IntN(3)])
	}
	return b.String()
}

// someRows makes rows of chats, ascending, with receipts of members each.
func someRows(seed uint64, chats, perChat, members int) (rows []archive.Row) {
	r := rand.New(rand.NewPCG(seed, 1))
	for c := range chats {
		at := wire.Millis(1_690_000_000_000 + r.Int64N(1e9))
		first := wire.Seq(1 + r.IntN(5))
		for i := range perChat {
			at += wire.Millis(r.Int64N(60_000))
			row := archive.Row{Message: wire.Message{
				ChatID: fmt.Sprintf("chat-%06d", c), Seq: first + wire.Seq(i), SenderID: fmt.Sprint("user-", r.IntN(members)),
				ClientMessageID: fmt.Sprintf("%08x%08x", r.Uint32(), r.Uint32()), Text: text(r), SentAt: at, Lamport: wire.Lamport(i*3 + 1),
			}}
			for m := range members {
				if r.IntN(5) > 0 {
					row.Receipts = append(row.Receipts, archive.Receipt{
						UserID: fmt.Sprintf("user-%03d", m), DeliveredAt: at + wire.Millis(r.Int64N(5000)), ReadAt: wire.Millis(r.IntN(2)) * (at + 6000),
					})
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// written is a segment and its bytes.
type written struct {
	archive.Summary
	bytes []byte
}

func write(t testing.TB, rows []archive.Row, opts archive.Options) written {
	t.Helper()
	var out bytes.Buffer
	w, err := archive.NewWriter(&out, someInfo, opts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if err := w.Write(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return written{sum, out.Bytes()}
}

// stored writes a segment into a directory.
func stored(t testing.TB, rows []archive.Row, opts archive.Options) (written, archive.Store) {
	t.Helper()
	w := write(t, rows, opts)
	store := dirStore(t)
	put(t, store, w)
	return w, store
}

func dirStore(t testing.TB) archive.Store {
	t.Helper()
	store, err := archive.OpenStore("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func put(t testing.TB, store archive.Store, w written) {
	t.Helper()
	if err := store.Put(t.Context(), w.Segment.Key, bytes.NewReader(w.bytes), w.Segment.Size); err != nil {
		t.Fatal(err)
	}
}
