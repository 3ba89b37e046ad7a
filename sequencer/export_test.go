package sequencer

import (
	"github.com/quorate/quorate/raftfsm"
)

// Submit offers a command to the group of key on this node, as a connection does.
func (n *Node) Submit(key string, cmd raftfsm.Command, done func(raftfsm.Result, error)) {
	h, slot, err := n.route(key)
	if err != nil {
		done(raftfsm.Result{}, err)
		return
	}
	h.submit(cmd, slot, doneFunc(done))
}

// Panics is how many handlers of connections have panicked.
func (n *Node) Panics() int64 { return n.server.counts.panics.Load() }

// CommandEntry is what the table of commands says of one.
type CommandEntry struct {
	Name       string
	Arity, Key int
	Right      string // "" for none
}

// CommandTable lists all commands.
func CommandTable() (entries []CommandEntry) {
	for _, known := range table {
		entries = append(entries, CommandEntry{known.name, known.arity, known.key, rightNames[known.right]})
	}
	return entries
}

// rightNames are those of docs/resp.md.
var rightNames = map[right]string{rightAny: "any", rightRead: "read", rightWrite: "write", rightAll: "all"}

// AddCommand puts a command into the table that does what run does, on the connection's reader or on a goroutine for a
// read. It gives what takes the command out again. No connection may be open meanwhile.
func AddCommand(name string, onReader bool, run func()) (remove func()) {
	byName[name] = &command{name: name, arity: -1, right: rightAny, run: func(_ *conn, k *call, _ args) error {
		if onReader {
			run()
			return k.ok()
		}
		k.spawn(func(r *reply) error {
			run()
			r.simple("OK")
			return nil
		})
		return nil
	}}
	return func() { delete(byName, name) }
}

// Batching counts the entries that this node has proposed, and the commands in them.
func (n *Node) Batching() (entries, commands int64) {
	for _, h := range n.replicas().held() {
		entries += h.entries.Load()
		commands += h.commands.Load()
	}
	return entries, commands
}

// AtArchivePoints has an archiver ask hook at each step; an error ends the round there.
func AtArchivePoints(cfg *Config, hook func(point string) error) {
	cfg.archivePoint = func(p archivePoint) error { return hook(string(p)) }
}
