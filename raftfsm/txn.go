package raftfsm

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// txn is the effect of one entry: a batch that holds its writes, and what its later commands must see of its earlier
// ones. It is committed as a whole or not at all. The state machine has one and uses it again for each entry.
type txn struct {
	fsm    *FSM
	batch  *pebble.Batch
	now    wire.Millis // the entry's time
	meta   meta
	over   map[string]span // what this entry wrote to the tables that commands read point by point
	kept   []byte          // the values of over
	order  []*chat         // whose counters changed, in the order of first change: they are written at the end
	events []wire.Event
	leases []wire.Lease // that changed, as they are now
	mapped bool         // the cluster map changed
	key    []byte
	val    []byte
}

// span is a value in kept. It is empty for a record that was deleted: no value is.
type span struct{ from, to int }

func (t *txn) begin(batch *pebble.Batch, now wire.Millis, m meta) {
	t.batch, t.now, t.meta = batch, now, m
	if t.over == nil {
		t.over = map[string]span{}
	}
	clear(t.over)
	clear(t.order)
	clear(t.events)
	clear(t.leases)
	t.kept, t.order, t.events, t.leases, t.mapped = t.kept[:0], t.order[:0], t.events[:0], t.leases[:0], false
}

// chat is a chat as the apply goroutine holds it.
type chat struct {
	id string
	chatRecord
	counters
	counted bool // counters changed in the present entry
}

// fail ends the process: the store cannot be read or written, or holds what this program did not write.
func (t *txn) fail(what string, err error) {
	panic(&corruption{fmt.Errorf("%s: %w", what, err)})
}

// corruption travels up to run, which makes an error of it.
type corruption struct{ err error }

// get reads a record that earlier commands of the entry may have written. It is valid until the next call.
func (t *txn) get(key []byte) ([]byte, bool) {
	if len(t.over) > 0 {
		if v, ok := t.over[string(key)]; ok {
			return t.kept[v.from:v.to], v.to > v.from
		}
	}
	v, closer, err := t.fsm.store.db.Get(key)
	if err == pebble.ErrNotFound { //nolint:errorlint // pebble returns it as it is; this is the hot path
		return nil, false
	}
	if err != nil {
		t.fail("read", err)
	}
	t.val = append(t.val[:0], v...)
	if err := closer.Close(); err != nil {
		t.fail("read", err)
	}
	return t.val, true
}

// put writes a record that no command reads back within the entry.
func (t *txn) put(key, value []byte) {
	if err := t.batch.Set(key, value, nil); err != nil {
		t.fail("write", err)
	}
}

// putSeen writes a record that later commands of the entry may read.
func (t *txn) putSeen(key, value []byte) {
	t.put(key, value)
	from := len(t.kept)
	t.kept = append(t.kept, value...)
	t.over[string(key)] = span{from, len(t.kept)}
}

func (t *txn) removeSeen(key []byte) {
	if err := t.batch.Delete(key, nil); err != nil {
		t.fail("delete", err)
	}
	t.over[string(key)] = span{}
}

// chat gives a chat, or nil.
func (t *txn) chat(id string) *chat {
	c := t.fsm.cache.get(id)
	if c == nil {
		if c = t.loadChat(id); c == nil {
			return nil
		}
		t.fsm.cache.put(c)
	}
	return c
}

func (t *txn) loadChat(id string) *chat {
	t.key = key1(t.key[:0], tableChat, id)
	b, ok := t.get(t.key)
	if !ok {
		return nil
	}
	rec, err := decodeChat(b)
	if err != nil {
		t.fail("chat "+id, err)
	}
	c := &chat{id: strings.Clone(id), chatRecord: *rec} // id may be part of a long text, and c lives on
	t.key = key1(t.key[:0], tableCounters, id)
	if b, ok = t.get(t.key); !ok {
		t.fail("chat "+id, pebble.ErrNotFound)
	}
	if c.counters, err = decodeCounters(b); err != nil {
		t.fail("counters of "+id, err)
	}
	return c
}

// count marks that the counters of c must be written at the end of the entry.
func (t *txn) count(c *chat) {
	if !c.counted {
		c.counted = true
		t.order = append(t.order, c)
	}
}

func (t *txn) putChat(c *chat) {
	t.key = key1(t.key[:0], tableChat, c.id)
	t.putSeen(t.key, c.chatRecord.append(nil))
}

// emit adds an event to the feed.
func (t *txn) emit(e wire.Event) {
	e.Offset = t.meta.feedNext
	t.meta.feedNext++
	t.key = numberKey(t.key[:0], tableFeed, uint64(e.Offset))
	t.val = appendEvent(t.val[:0], &e)
	t.put(t.key, t.val)
	t.events = append(t.events, e)
}

// leave puts one change of a chat list in the outbox.
func (t *txn) leave(p PutUserChat) {
	t.key = numberKey(t.key[:0], tableOutbox, t.meta.outboxNext)
	t.meta.outboxNext++
	t.put(t.key, appendBody(newRecord(nil), p))
}

// finish writes what is written once per entry.
func (t *txn) finish() {
	for _, c := range t.order {
		t.key = key1(t.key[:0], tableCounters, c.id)
		t.val = c.counters.append(t.val[:0])
		t.put(t.key, t.val)
		c.counted = false
	}
	t.put(metaKey, t.meta.append(nil))
	if err := t.batch.Commit(pebble.NoSync); err != nil {
		t.fail("commit", err)
	}
	if err := t.batch.Close(); err != nil {
		t.fail("commit", err)
	}
}
