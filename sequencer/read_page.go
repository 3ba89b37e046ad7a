package sequencer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// pageReader reads the messages of a page, some at a time, until it has all of them or enough bytes.
type pageReader struct {
	store  *raftfsm.Store
	chatID string
	size   int // bytes that may still be read
	got    []wire.Message
}

// errMoved says that messages went to the archive, or were deleted, between two looks at the store.
var errMoved = errors.New("the messages are not in the hot store any more")

// readChunk is how many messages are read at a time.
const readChunk = 64

// up reads runs from their beginning. next is the first seq that there was no room for, 0 where all were read.
func (p *pageReader) up(runs view) (next wire.Seq, err error) {
	for _, run := range runs {
		for seq := run.From; seq <= run.To; {
			chunk, err := p.read(seq, min(run.To, seq+readChunk-1))
			if err != nil {
				return 0, err
			}
			for _, m := range chunk {
				if !p.take(m) {
					return m.Seq, nil
				}
			}
			seq += wire.Seq(len(chunk))
		}
	}
	return 0, nil
}

// down reads runs from their end, until there is no room. The messages ascend all the same.
func (p *pageReader) down(runs view) error {
	defer func() { slices.Reverse(p.got) }()
	for _, run := range slices.Backward(runs) {
		for seq := run.To; seq >= run.From; {
			first := run.From
			if seq-first >= readChunk {
				first = seq - readChunk + 1
			}
			chunk, err := p.read(first, seq)
			if err != nil {
				return err
			}
			for _, m := range slices.Backward(chunk) {
				if !p.take(m) {
					return nil
				}
			}
			seq = first - 1
		}
	}
	return nil
}

func (p *pageReader) read(first, last wire.Seq) ([]wire.Message, error) {
	n := int(last - first + 1)
	chunk, err := p.store.Range(p.chatID, first, n)
	if err != nil {
		return nil, err
	}
	if len(chunk) != n || chunk[0].Seq != first || chunk[n-1].Seq != last {
		if head, err := p.store.Head(p.chatID); err != nil || first < head.HotFrom {
			return nil, errors.Join(err, errMoved)
		}
		return nil, fmt.Errorf("chat %s: %d messages where seq %d to %d should be", p.chatID, len(chunk), first, last)
	}
	return chunk, nil
}

// take keeps a message where there is room, and always the first.
func (p *pageReader) take(m wire.Message) bool {
	p.size -= messageBytes + len(m.Text)
	if p.size < 0 && len(p.got) > 0 {
		return false
	}
	p.got = append(p.got, m)
	return true
}
