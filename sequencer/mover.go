package sequencer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// mover makes the cluster map true. It runs on every node and works on the one that serves the meta group: it looks at each
// group as its leader has it and takes one step towards the placement, through the same commands that an operator has.
// It holds no state that matters: a new leader of the meta group looks at the groups and goes on.
type mover struct {
	node   *Node
	kicked chan struct{}
	spread time.Time   // of the last hand-over that spread leaders
	hurry  atomic.Bool // leaders are to be spread until they are even, without a pause
}

const (
	moverBusy = 200 * time.Millisecond // between two looks while something is on the move
	moverIdle = 2 * time.Second
	moverWait = 15 * time.Second // for one step

	// caughtUp is how many entries a replica may be behind when it gets its vote: what a group writes in a moment.
	caughtUp = 256
)

func newMover(n *Node) *mover {
	return &mover{node: n, kicked: make(chan struct{}, 1), spread: time.Now()}
}

// spreadSoon has leaders spread as soon as nothing is on the move.
func (v *mover) spreadSoon() {
	v.hurry.Store(true)
	v.kick()
}

// kick has the mover look now.
func (v *mover) kick() {
	select {
	case v.kicked <- struct{}{}:
	default:
	}
}

func (v *mover) run() {
	defer v.node.done.Done()
	wait := moverIdle
	for {
		select {
		case <-v.kicked:
		case <-time.After(wait):
		case <-v.node.closing:
			return
		}
		wait = moverIdle
		if meta := v.node.replicas().meta; meta == nil || !meta.raft.Serving() {
			continue
		}
		ctx, cancel := context.WithTimeout(v.node.life, moverWait)
		moving, err := v.look(ctx)
		cancel()
		if err != nil && v.node.life.Err() == nil {
			v.node.log.Info("a move is tried again", "err", err)
		}
		if moving || err != nil {
			wait = moverBusy
		}
	}
}

// look takes one step for each group that needs one. It tells whether there is more to do.
func (v *mover) look(ctx context.Context) (moving bool, err error) {
	m, err := v.present(ctx)
	if err != nil {
		return false, err
	}
	set := settingOf(m)
	views := map[wire.GroupID]*groupView{}
	var errs []error
	onTheMove := 0
	for _, p := range metaFirst(m) {
		view, leader, err := v.view(ctx, m, p)
		if err != nil {
			errs = append(errs, fmt.Errorf("group %d: %w", p.Group, err))
			continue
		}
		views[p.Group] = view
		next, ok, waiting := nextStep(p, view)
		if waiting {
			if onTheMove++; onTheMove > set.moves && next.verb == stepAdd {
				moving = true
				continue
			}
		}
		moving = moving || ok || waiting
		if ok {
			if err := v.take(ctx, m, p.Group, leader, view, next); err != nil {
				errs = append(errs, fmt.Errorf("group %d: %s %s: %w", p.Group, next.verb, next.replica, err))
			}
		}
	}
	if !moving && len(errs) == 0 && (v.hurry.Load() || set.spread > 0 && time.Since(v.spread) >= set.spread) {
		v.spread = time.Now()
		again, err := v.spreadOne(ctx, m, views)
		if !again {
			v.hurry.Store(false)
		}
		return again && v.hurry.Load(), err
	}
	return moving, errors.Join(errs...)
}

// metaFirst gives the placements, the meta group's first: a node that has lost all its replicas learns from that group
// which others it is to make.
func metaFirst(m *wire.ClusterMap) []*wire.Placement {
	order := make([]*wire.Placement, 0, len(m.Placements))
	if p := m.Placement(wire.MetaGroup); p != nil {
		order = append(order, p)
	}
	for i := range m.Placements {
		if p := &m.Placements[i]; p.Group != wire.MetaGroup {
			order = append(order, p)
		}
	}
	return order
}

// present gives the map, after it took in what nodes have told of themselves. The first leader of a cluster writes it.
func (v *mover) present(ctx context.Context) (*wire.ClusterMap, error) {
	n := v.node
	meta := n.replicas().meta
	m, err := meta.latestMap(ctx)
	if err != nil {
		return nil, err
	}
	if m == nil {
		first := n.identity.get()
		if first.First == nil {
			return nil, wire.ErrTryAgain
		}
		m = first.First.firstMap(first.ClusterID, first.Groups)
		first.First.setEpoch(m, n.cfg.Clock())
		v.kick() // a new cluster of new nodes need not wait for the newest format
		return m, meta.putMap(ctx, m)
	}
	return n.changeMap(ctx, func(m *wire.ClusterMap) error {
		if !n.refreshMap(m) {
			return errUnchanged
		}
		return nil
	})
}

// refreshMap writes into the map what the cards say: new addresses and versions, replicas that are gone, nodes that are
// silent for too long. It tells whether anything changed.
func (n *Node) refreshMap(m *wire.ClusterMap) (changed bool) {
	lostAfter := settingOf(m).lost
	for i := range m.Nodes {
		node := &m.Nodes[i]
		card, ok := n.card(node.ID)
		if !ok || card.Incarnation != node.Incarnation {
			card = n.noCard(node)
		}
		if node.RESPAddr != card.RESPAddr || node.OpsAddr != card.OpsAddr || node.Version != card.Version ||
			node.Format != card.Format || node.Region != card.Region || node.Zone != card.Zone {
			node.RESPAddr, node.OpsAddr, node.Version, node.Format = card.RESPAddr, card.OpsAddr, card.Version, card.Format
			node.Region, node.Zone = card.Region, card.Zone
			changed = true
		}
		for group, generation := range card.Lost {
			gone := []wire.ReplicaID{{Node: node.ID, Generation: generation}}
			changed = lostReplicas(m, gone, group) || changed
		}
		if lostAfter > 0 && node.State != wire.NodeLost && n.cards.silence(node.ID) > lostAfter {
			if n.canLose(m, node.ID) {
				n.log.Warn("a node is given up: it has been silent for too long", "peer", node.ID, "after", lostAfter)
				changed = loseNode(m, node.ID) || changed
			}
		}
	}
	return n.raiseFormat(m) || changed
}

// raiseFormat has the cluster write the next format, once every node is there and can read it. There is no way back: a
// program that does not know the format then ends at once.
func (n *Node) raiseFormat(m *wire.ClusterMap) bool {
	next := m.Format + 1
	for _, node := range m.Nodes {
		if node.State == wire.NodeLost {
			continue
		}
		if _, there := n.card(node.ID); !there || node.Format < next || n.cards.silence(node.ID) > 2*cardWait {
			return false
		}
	}
	n.log.Info("all nodes know the next format: it is written from now on", "format", next)
	m.Format = next
	return true
}

// canLose reports whether there is another node to take over from a silent one: otherwise there is nothing to be won.
func (n *Node) canLose(m *wire.ClusterMap, id wire.NodeID) bool {
	active := 0
	for _, node := range m.Nodes {
		if node.ID != id && node.State == wire.NodeActive && n.cards.silence(node.ID) < time.Minute {
			active++
		}
	}
	return active >= settingOf(m).replicas
}

// view asks a group's leader how the group stands, and those of its replicas that have no vote yet how far they are.
func (v *mover) view(ctx context.Context, m *wire.ClusterMap, p *wire.Placement) (*groupView, string, error) {
	leader, err := v.node.leaderAddr(p.Group)
	if err != nil {
		return nil, "", err
	}
	s, err := v.node.replicaStatus(ctx, leader, p.Group)
	if err != nil {
		return nil, "", err
	}
	if !s.serving {
		return nil, "", wire.ErrTryAgain
	}
	view := &groupView{leader: s.self, members: s.members}
	for i := range view.members {
		mem := &view.members[i]
		mem.alive = v.alive(mem.id.Node)
		if _, voter := p.Wants(mem.id); !voter || mem.voter {
			continue
		}
		if node := m.Node(mem.id.Node); node != nil {
			behind, err := v.node.replicaStatus(ctx, node.RESPAddr, p.Group)
			mem.caught = err == nil && behind.self == mem.id && behind.applied+caughtUp >= s.commit
		}
	}
	return view, leader, nil
}

// diskLow reports whether a node should lead nothing for want of room.
func (v *mover) diskLow(id wire.NodeID) bool {
	card, ok := v.node.card(id)
	return ok && card.DiskLow
}

// alive reports whether a node answers.
func (v *mover) alive(id wire.NodeID) bool { return v.node.cards.silence(id) < 2*v.node.cfg.CardEvery }

// take takes a step.
func (v *mover) take(
	ctx context.Context, m *wire.ClusterMap, g wire.GroupID, leader string, view *groupView, s step,
) error {
	n := v.node
	if s.verb == stepSettle {
		_, err := n.changeMap(ctx, func(m *wire.ClusterMap) error {
			p := m.Placement(g)
			p.Leaving = slices.DeleteFunc(p.Leaving, func(r wire.ReplicaID) bool {
				_, there := view.member(r)
				return !there
			})
			return nil
		})
		return err
	}
	n.log.Info("a group changes", "group", g, "step", s.verb, "replica", s.replica)
	if s.verb == stepTransfer {
		_, err := n.client.DoNode(ctx, leader, "RAFT", "TRANSFER", strconv.Itoa(int(g)), string(s.replica.Node))
		return err
	}
	addr := ""
	if node := m.Node(s.replica.Node); node != nil {
		addr = node.RaftAddr
	}
	_, err := n.client.DoNode(ctx, leader, "RAFT", "CONFIG", strconv.Itoa(int(g)), string(s.verb), s.replica.String(), addr)
	return err
}

// spreadOne hands one group over to a node that leads fewer. It is false where there is none.
func (v *mover) spreadOne(ctx context.Context, m *wire.ClusterMap, views map[wire.GroupID]*groupView) (bool, error) {
	g, to, ok := spreadStep(m.Placements, views, func(id wire.NodeID) bool {
		node := m.Node(id)
		return node != nil && node.State == wire.NodeActive && v.alive(id) && !v.diskLow(id)
	})
	if !ok {
		return false, nil
	}
	leader, err := v.node.leaderAddr(g)
	if err != nil {
		return true, err
	}
	v.node.log.Info("leaders are spread", "group", g, "to", to)
	_, err = v.node.client.DoNode(ctx, leader, "RAFT", "TRANSFER", strconv.Itoa(int(g)), string(to))
	return true, err
}
