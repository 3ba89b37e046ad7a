// Package notify looks after messages that members of chats have not got: when the grace is over and a member's delivered watermark has not
// come to a message, it has his devices told, through the providers of package push. DESIGN.md tells how nobody is forgotten.
package notify

import (
	"context"
	crypto "crypto/rand"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/quorate/quorate/delivery/follow"
	"github.com/quorate/quorate/delivery/push"
	"github.com/quorate/quorate/sequencer/wire"
)

// Config says what a notifier is. Sequencers is required.
type Config struct {
	Sequencers []string // host:port of RESP servers; one that answers is enough to find the others
	Username   string   // for AUTH at the sequencers; "" is the user default
	Password   string   // of that user; "" is no AUTH

	// Dial connects to a sequencer; nil is TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	Providers map[push.Platform]push.Provider // the caller closes them, after the notifier
	Text      bool                            // notifications say what was written, and the chat's name
	Badge     bool                            // they say how much is unread in all the user's chats; else in this one
	Limits    Limits
	Logger    *slog.Logger // default slog.Default()
}

// consumer is the name under which the offsets of notifiers are committed.
const consumer = "push"

// Notifier looks after the messages of the groups that it has leases for. All methods are safe for concurrent use.
type Notifier struct {
	shared *shared
	client *wire.Client
	share  *sharer
	stop   context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error

	mu      sync.Mutex
	keeping map[wire.GroupID]*keeping
}

// keeping is a keeper at work.
type keeping struct {
	stop   context.CancelFunc
	done   chan struct{}
	ending bool
}

// Open starts a notifier. It takes its share of the groups as soon as it finds the cluster.
func Open(cfg Config) (*Notifier, error) {
	if len(cfg.Sequencers) == 0 {
		return nil, errors.New("notify: no sequencer is configured")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	log := cfg.Logger.With("part", "notifier")
	client := wire.NewClient(wire.ClientConfig{
		Seeds: cfg.Sequencers, Username: cfg.Username, Password: cfg.Password, Dial: cfg.Dial, Name: "quorate-notifier", Logger: log,
	})
	n := &Notifier{client: client, keeping: map[wire.GroupID]*keeping{}}
	n.shared = newShared(&cfg, client, log)
	n.share = &sharer{notifier: n, self: "n-" + crypto.Text()[:12], seat: -1}
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.wg.Go(func() { n.share.run(ctx) })
	return n, nil
}

func newShared(cfg *Config, seq sequencers, log *slog.Logger) *shared {
	s := &shared{cfg: cfg, limits: cfg.Limits.withDefaults(), seq: seq, lanes: map[wire.Platform]*lane{}, stats: newStats(), log: log}
	for p, provider := range cfg.Providers {
		s.lanes[wire.Platform(p)] = &lane{provider: provider, most: s.limits.Sends}
	}
	return s
}

// Close hands the groups over: what is under way ends, for Limits.StopTime at most, the offsets are committed, and the leases given back. It
// may be called again and waits for the first call.
func (n *Notifier) Close() error {
	n.once.Do(func() {
		n.stop()
		n.wg.Wait()
		for _, l := range n.shared.lanes {
			l.wg.Wait()
		}
		n.err = n.client.Close()
	})
	return n.err
}

// keep begins to look after a group, or goes on.
func (n *Notifier) keep(g wire.GroupID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.keeping[g] != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	k := &keeping{stop: stop, done: make(chan struct{})}
	n.keeping[g] = k
	n.wg.Go(func() {
		defer close(k.done)
		defer stop()
		n.follow(ctx, g)
	})
}

// release ends the work for a group and waits for that. It is false where that is done already, or being done.
func (n *Notifier) release(g wire.GroupID) bool {
	n.mu.Lock()
	k := n.keeping[g]
	if k == nil || k.ending {
		n.mu.Unlock()
		return false
	}
	k.ending = true
	n.mu.Unlock()
	k.stop()
	<-k.done
	n.mu.Lock()
	delete(n.keeping, g)
	n.mu.Unlock()
	return true
}

func (n *Notifier) kept() (groups []wire.GroupID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for g := range n.keeping {
		groups = append(groups, g)
	}
	return groups
}

// follow reads a group's feed for a keeper until ctx ends.
func (n *Notifier) follow(ctx context.Context, g wire.GroupID) {
	log, limits := n.shared.log.With("group", g), &n.shared.limits
	r := follow.NewReader(follow.Config{Seq: n.client, Events: limits.FeedEvents, Wait: limits.FeedWait, Counts: &n.shared.stats.feeds}, g, 0, log)
	defer r.Close()
	for n.position(ctx, r, g) != nil {
		if !follow.Pause(ctx, 100*time.Millisecond+rand.N(100*time.Millisecond)) {
			return
		}
	}
	log.Info("looking after messages", "offset", r.Next)
	k := newKeeper(n.shared, g, r.Next)
	var reading sync.WaitGroup
	reading.Go(func() { n.read(ctx, r, k) })
	k.run(ctx)
	reading.Wait()
}

// position sets a reader to where the group's messages were looked after to. The very first time that is the end of the feed, and is
// committed, so that whoever comes next goes on from there.
func (n *Notifier) position(ctx context.Context, r *follow.Reader, g wire.GroupID) (err error) {
	ctx, cancel := context.WithTimeout(ctx, n.shared.limits.LookupTime)
	defer cancel()
	if r.Next, err = n.client.CommittedFeed(ctx, g, consumer); err != nil || r.Next > 0 {
		return err
	}
	if err := r.ToHead(ctx); err != nil {
		return err
	}
	return n.client.CommitFeed(ctx, g, consumer, r.Next)
}

// read gives a keeper what the feed has, as fast as it takes it.
func (n *Notifier) read(ctx context.Context, r *follow.Reader, k *keeper) {
	for ctx.Err() == nil {
		began := time.Now()
		events, next, err := r.Read(ctx)
		switch {
		case errors.Is(err, wire.ErrTrimmed):
			n.trimmed(ctx, r)
			continue
		case err != nil:
			r.Failed(ctx, err)
			continue
		}
		select {
		case k.pages <- page{events, next, len(events) < n.shared.limits.FeedEvents, began}:
		case <-ctx.Done():
			return
		}
		r.Advance(ctx, next, len(events) == 0)
	}
}

// trimmed goes on with the oldest event that the feed holds, after nobody looked after the group for longer than events are kept.
func (n *Notifier) trimmed(ctx context.Context, r *follow.Reader) {
	n.shared.stats.trims.Add(1)
	_, floor, err := r.Head(ctx)
	if err != nil {
		r.Failed(ctx, err)
		return
	}
	n.shared.log.Warn("the feed no longer holds the messages that are to be looked after", "from", r.Next, "to", floor)
	r.Next = floor
}
