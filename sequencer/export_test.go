package sequencer

import (
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// Submit offers a command to the group of key on this node, as a connection does.
func (n *Node) Submit(key string, cmd raftfsm.Command, done func(raftfsm.Result, error)) {
	slot := wire.SlotOf(key)
	n.groups[wire.GroupOf(slot, len(n.groups))].submit(cmd, slot, doneFunc(done))
}

// Panics is how many handlers of connections have panicked.
func (n *Node) Panics() int64 { return n.server.counts.panics.Load() }

// CommandEntry is what the table of commands says of one.
type CommandEntry struct {
	Name       string
	Arity, Key int
}

// CommandTable lists all commands.
func CommandTable() (entries []CommandEntry) {
	for _, known := range table {
		entries = append(entries, CommandEntry{known.name, known.arity, known.key})
	}
	return entries
}
