package sequencer

import (
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// feedCommit is FEED.COMMIT group consumer offset.
func feedCommit(c *conn, k *call, a args) error {
	h, err := c.group(a, 1)
	if err != nil {
		return err
	}
	consumer, err := consumerName(a)
	if err != nil {
		return err
	}
	offset, err := a.number(3, "offset", 1, uint64(wire.MaxSeq))
	if err != nil {
		return err
	}
	k.encode = writeValue
	h.submit(raftfsm.CommitFeed{Consumer: consumer, Offset: wire.Offset(offset)}, c.slotOf(h), k)
	c.wrote(h, k)
	return nil
}

// feedCommitted is FEED.COMMITTED group consumer [STALE].
func feedCommitted(c *conn, k *call, a args) error {
	h, err := c.group(a, 1)
	if err != nil {
		return err
	}
	consumer, err := consumerName(a)
	if err != nil {
		return err
	}
	stale, err := a.stale(3)
	if err != nil {
		return err
	}
	return k.readFrom(h, c.slotOf(h), reading{stale: stale}, func(s *raftfsm.Store, r *reply) error {
		offset, err := s.Committed(consumer)
		if err == nil {
			r.intOrNull(int64(offset))
		}
		return err
	})
}

func consumerName(a args) (string, error) {
	return string(a[2]), wire.CheckConsumer(a.str(2))
}

// slotOf gives the first slot of a group of chats, for what is about the group as a whole.
func (c *conn) slotOf(h *host) wire.Slot {
	first, _ := wire.SlotRange(h.id, len(c.node.replicas().groups))
	return first
}
