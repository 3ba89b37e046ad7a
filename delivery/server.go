// Package delivery is the delivery tier of Quorate, edges and hubs: it holds the clients' connections, speaks REST and WebSocket to them, and RESP to
// the sequencers. Nothing in it has to survive; a client that loses its edge resumes on any other. DESIGN.md in this
// directory tells how the parts work together.
package delivery

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

// Config says what an edge is. Addr and Sequencers are required, and a secret, keys or the address of a key set unless NoAuth
// is set.
type Config struct {
	Addr        string        // host:port to listen on; port 0 picks a free one
	Sequencers  []string      // host:port of RESP servers; one that answers is enough to find the others
	Username    string        // for AUTH at the sequencers; "" is the user default
	Password    string        // of that user; "" is no AUTH
	JWTSecret   []byte        // HS256 key of the tokens that clients show
	JWTKeys     []TokenKey    // public keys of such tokens
	JWTKeysURL  string        // of a JSON Web Key Set with such keys; https, or http on loopback
	JWTIssuer   string        // iss that tokens must have; "" is any
	JWTAudience string        // aud that tokens must have among theirs; "" is any, or none
	NoAuth      bool          // also accept "user:NAME" as a token; only where Addr is a loopback address
	Archive     archive.Store // where old messages are; read only. nil: they cannot be read here

	// AdmitDevice judges a device that a user registers for notifications, and fills in what it lacks, a secret. What is wrong with it
	// wraps wire.ErrBadRequest. nil: no device is taken. notify.Admission is one.
	AdmitDevice func(ctx context.Context, user string, d *wire.Device) error

	Region      string   // where this node is: its hubs share the feeds out among those of one region
	OriginAllow []string // "https://host[:port]" from which browsers may connect, or "*"; empty: only the host they asked
	Limits      Limits

	// UnlimitedAddresses are those of clients that no limit of an address holds for: load balancers, and load testers. nil is loopback.
	UnlimitedAddresses []netip.Prefix

	// TLS, where it is set, is what the port speaks: https and wss.
	TLS *tls.Config

	// HubAddr is where other delivery nodes reach this one's hub, host:port; port 0 picks a free one. "" is no hub: other nodes' hubs send
	// this one its events. HubListen and HubDial put TLS on those connections; nil is TCP.
	HubAddr   string
	NoClients bool // refuse clients: this node is a hub alone
	HubListen func(net.Listener) net.Listener
	HubDial   func(ctx context.Context, addr string) (net.Conn, error)

	// Dial connects to a sequencer; nil is TCP. With certificates it is trust.Keys.Dial.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	Logger *slog.Logger     // default slog.Default()
	Clock  func() time.Time // for tokens and rates; default time.Now
}

func (c Config) check() error {
	switch {
	case len(c.Sequencers) == 0:
		return errors.New("delivery: no sequencer is configured")
	case len(c.JWTSecret) == 0 && len(c.JWTKeys) == 0 && c.JWTKeysURL == "" && !c.NoAuth:
		return errors.New("delivery: no key to check tokens with")
	case c.Limits.OutboxBytes != 0 && c.Limits.OutboxBytes < 256<<10:
		return errors.New("delivery: an outbox needs at least 256 KiB, so that every frame fits")
	}
	if c.JWTKeysURL != "" {
		if err := checkKeysURL(c.JWTKeysURL); err != nil {
			return err
		}
	}
	if !c.NoAuth {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return fmt.Errorf("delivery: address: %w", err)
	}
	ip, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("delivery: without tokens only a loopback address may be served, not %q", c.Addr)
	}
	return nil
}

// Server is one edge. All methods are safe for concurrent use.
type Server struct {
	cfg    Config
	limits Limits
	log    *slog.Logger
	now    func() time.Time
	stats  *stats

	seq       *wire.Client
	keys      *tokenKeys
	auth      *authenticator
	rates     *sendRates
	registry  *registry
	engine    *engine
	members   *memberCache
	hub       *hub
	hubPort   *hubPort // nil where this node is no hub
	sharer    *sharer
	router    *router
	announcer *announcer
	presence  *presence
	rollout   *rollout
	epoch     *epoch
	recent    *recent
	told      *told
	history   *history
	id        string // of this process
	loads     *loader
	receipts  *receiptWriter
	underWay  underWay
	greeter   *greeter
	addresses *addresses
	memory    *memoryMeter

	ln      net.Listener
	http    *http.Server
	drained atomic.Bool // Close has begun

	spawning sync.Mutex
	spawned  bool // no more goroutines: Close waits for those there are

	stopSharing  context.CancelFunc // the leases of feeds
	stopWork     context.CancelFunc // feeds, loads and sweeps
	stopReceipts context.CancelFunc
	wg           sync.WaitGroup // the goroutines of this file

	closing sync.Once
	closed  chan struct{}
	err     error // of the close
}

// Open starts an edge. It listens when Open returns; Ready tells when it has found the cluster and takes sessions.
func Open(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := newServer(cfg)
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.seq.Close())
	}
	if err := s.engine.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("delivery: %w", err), s.ln.Close(), s.seq.Close())
	}
	work, stopWork := context.WithCancel(context.Background())
	writing, stopReceipts := context.WithCancel(context.Background())
	s.stopWork, s.stopReceipts = stopWork, stopReceipts
	if s.isHub() {
		s.presence.open(work)
	}
	s.announcer.open(work)
	s.hub.open(work)
	if s.hubPort != nil {
		s.hubPort.open()
	}
	sharing, stopSharing := context.WithCancel(work)
	s.stopSharing = stopSharing
	s.wg.Go(func() { s.sharer.run(sharing) })
	s.wg.Go(func() { s.rollout.run(work) })
	s.loads.open(work)
	s.greeter.open(work)
	s.wg.Go(func() { s.memory.tidy(work, s.engine.conns) })
	if s.keys.remote != nil {
		s.keys.remote.open(work)
	}
	s.receipts.open(writing)
	s.wg.Go(func() {
		if err := s.http.Serve(s.listener()); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the edge stopped listening", "err", err)
		}
	})
	return s, nil
}

func newServer(cfg Config) *Server {
	s := &Server{cfg: cfg, limits: cfg.Limits.withDefaults(), log: cfg.Logger, now: cfg.Clock, closed: make(chan struct{})}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.stats = newStats()
	s.log = s.log.With("part", "delivery", "region", cfg.Region)
	if s.now == nil {
		s.now = time.Now
	}
	s.seq = wire.NewClient(wire.ClientConfig{
		Seeds: cfg.Sequencers, Username: cfg.Username, Password: cfg.Password, Dial: cfg.Dial, Name: "quorate-delivery", Logger: s.log,
	})
	s.keys = &tokenKeys{secret: cfg.JWTSecret, given: cfg.JWTKeys}
	if cfg.JWTKeysURL != "" {
		s.keys.remote = newRemoteKeys(cfg.JWTKeysURL, s.log)
	}
	s.auth = newAuthenticator(s.keys, &cfg, s.now)
	s.rates = newSendRates(s.limits)
	s.id = rand.Text()[:12]
	s.announcer = newAnnouncer(s)
	s.router = newRouter(s)
	s.presence = newPresence(s)
	s.rollout = newRollout(s)
	s.epoch = newEpoch()
	s.recent = newRecent(s.limits.RecentBytes)
	s.told = newTold(s.limits.ToldReceipts)
	s.history = newHistory(s)
	s.registry = newRegistry(s.limits.UserConnections, func(user string) {
		s.announcer.changed(user)
		if s.isHub() {
			s.presence.changed(user)
		}
	})
	s.hub = newHub(s)
	s.hub.presence = s.presence
	s.members = newMemberCache(s)
	s.members.parcel = func() *dispatcher { return newDispatcher(s.hub) }
	s.members.spawn = s.spawn
	s.loads = newLoader(s)
	s.receipts = newReceiptWriter(s)
	s.greeter = newGreeter(s)
	s.memory = newMemoryMeter()
	s.addresses = newAddresses(s.limits, cfg.UnlimitedAddresses)
	s.engine = newEngine(engineConfig{
		MaxConns: s.limits.Connections, MaxFrameBytes: s.limits.FrameBytes, OutboxBytes: s.limits.OutboxBytes, StallTimeout: s.limits.StallTimeout,
		PingInterval:   s.limits.PingInterval,
		AllowedOrigins: cfg.OriginAllow, Addresses: s.addresses, Logger: s.log, Closed: s.stats.closed,
	})
	s.http = &http.Server{
		Handler: s, MaxHeaderBytes: s.limits.HeaderBytes, ReadHeaderTimeout: s.limits.HeaderTimeout,
		ReadTimeout: s.limits.BodyTimeout, WriteTimeout: s.limits.WriteTimeout, IdleTimeout: s.limits.IdleTimeout, ConnState: s.addresses.onState, ConnContext: withHead,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // it tells of clients, who are many
	}
	return s
}

func (s *Server) listen() error {
	ln, err := net.Listen("tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("delivery: listen: %w", err)
	}
	s.ln = ln
	if s.cfg.HubAddr == "" {
		s.sharer = newSharer(s, s.id, "")
		return nil
	}
	hub, err := net.Listen("tcp", s.cfg.HubAddr)
	if err != nil {
		return errors.Join(fmt.Errorf("delivery: listen for other nodes: %w", err), ln.Close())
	}
	addr := hub.Addr().String()
	if s.cfg.HubListen != nil {
		hub = s.cfg.HubListen(hub)
	}
	s.hubPort = newHubPort(s.hub, hub)
	s.sharer = newSharer(s, s.id, addr)
	return nil
}

func (s *Server) isHub() bool { return s.cfg.HubAddr != "" }

// region is the name under which the hubs of one region share the feeds. Nodes of two epochs, as there are for a moment when a cluster was
// restored, are in different ones: places in feeds mean nothing between them.
func (s *Server) region() string {
	name := s.cfg.Region
	if name == "" {
		name = "default"
	}
	if e := s.epoch.now.Load(); e > wire.FirstEpoch {
		name += ".e" + s.epoch.text()
	}
	return name
}

// relayHello is how this node presents itself to another one.
func (s *Server) relayHello(peer bool) relay.Hello {
	return relay.Hello{Version: relay.Version, Node: s.id, Region: s.region(), Peer: peer}
}

func (c *Config) dialHub(ctx context.Context, addr string) (net.Conn, error) {
	if c.HubDial != nil {
		return c.HubDial(ctx, addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// listener is what net/http takes connections from.
func (s *Server) listener() net.Listener {
	if s.cfg.TLS != nil {
		return headListener{tls.NewListener(s.ln, serverTLS(s.cfg.TLS))}
	}
	return headListener{s.ln}
}

// Addr returns the host:port that the edge listens on.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Ready waits until the edge follows every feed, so that sessions can be admitted. The error is ctx's, or tells that the edge
// was closed.
func (s *Server) Ready(ctx context.Context) error {
	select {
	case <-s.hub.positioned:
		return nil
	case <-s.closed:
		return errors.New("delivery: closed")
	case <-ctx.Done():
		return fmt.Errorf("delivery: wait for the cluster: %w", ctx.Err())
	}
}

func (s *Server) draining() bool { return s.drained.Load() }

// Close drains the edge: new requests are refused, those under way end, WebSockets are closed with 4000, receipts that wait
// are written. What is left when ctx ends is cut off. It may be called again and waits for the first call.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Do(func() {
		defer close(s.closed)
		s.drained.Store(true)
		s.stopSharing()
		s.presence.flushSeen(ctx)
		s.awaitRequests(ctx)
		stopHTTP := make(chan error, 1)
		go func() { stopHTTP <- s.http.Shutdown(ctx) }()
		err := s.engine.close(ctx)
		if httpErr := <-stopHTTP; httpErr != nil {
			_ = s.http.Close() // cuts what Shutdown waited for in vain; its error is the one to tell
			err = errors.Join(err, httpErr)
		}
		s.stopWork()
		s.stopReceipts()
		s.receipts.close()
		s.hub.close()
		s.announcer.close()
		s.presence.close()
		if s.hubPort != nil {
			s.hubPort.close()
		}
		s.loads.close()
		s.greeter.close()
		if s.keys.remote != nil {
			s.keys.remote.close()
		}
		s.spawning.Lock()
		s.spawned = true
		s.spawning.Unlock()
		s.wg.Wait()
		s.err = errors.Join(err, s.seq.Close())
	})
	<-s.closed
	return s.err
}

// awaitRequests gives the requests of WebSockets the time to be answered: none begins any more.
func (s *Server) awaitRequests(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.RequestTimeout)
	defer cancel()
	for _, session := range s.registry.all() {
		for session.inFlight() > 0 && pause(ctx, 5*time.Millisecond) {
		}
	}
}

// spawn runs f on a goroutine that Close waits for, or not at all when that has begun to wait.
func (s *Server) spawn(f func()) {
	s.spawning.Lock()
	defer s.spawning.Unlock()
	if s.spawned {
		return
	}
	s.wg.Go(f)
}

// after runs f later, unless the edge is closing by then.
func (s *Server) after(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		select {
		case <-s.closed:
		default:
			f()
		}
	})
}

// note counts a refusal, and logs it where it is this server's fault. Those that are the client's, or pass by themselves,
// are not news.
func (s *Server) note(p *problem, what string, err error) {
	s.stats.refused(p.code)
	if p.code == codeInternal {
		s.log.Error("a request failed", "what", what, "err", err)
	}
}
