package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// serveNATS is one NATS server until ctx ends.
func (n *node) serveNATS(ctx context.Context) error {
	o := &server.Options{
		ServerName: fmt.Sprintf("n%d", n.number), Host: "127.0.0.1", Port: n.clientPort(n.number), NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: n.dir, SyncAlways: n.kind == "nats-always",
		Cluster: server.ClusterOpts{Name: "peers", Host: "127.0.0.1", Port: n.peerPort(n.number)},
	}
	for i := range replicas {
		if i != n.number {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", n.peerPort(i))})
		}
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	go s.Start()
	if !s.ReadyForConnections(startTime) {
		return errors.New("the NATS server is not ready")
	}
	fmt.Println("ready")
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// natsPeer is a client of the streams.
type natsPeer struct {
	urls    string
	conn    *nats.Conn
	js      jetstream.JetStream
	streams int
	conns   []*nats.Conn // of members
}

func openNATS(ctx context.Context, f *fleet, w work) (*natsPeer, error) {
	var urls []string
	for i := range replicas {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", f.ports[2*i]))
	}
	p := &natsPeer{urls: strings.Join(urls, ","), streams: w.streams}
	var err error
	if p.conn, err = nats.Connect(p.urls); err != nil {
		return nil, err
	}
	if p.js, err = jetstream.New(p.conn); err != nil {
		return nil, err
	}
	for i := range w.streams {
		if err := p.makeStream(ctx, i); err != nil {
			return nil, fmt.Errorf("stream %d: %w", i, err)
		}
	}
	return p, nil
}

// streamTry is how long one try to make a stream may take: servers that have no leader yet do not answer.
const streamTry = 2 * time.Second

// makeStream tries until the servers have found each other.
func (p *natsPeer) makeStream(ctx context.Context, i int) error {
	for deadline := time.Now().Add(startTime); ; time.Sleep(200 * time.Millisecond) {
		err := p.tryStream(ctx, i)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
	}
}

func (p *natsPeer) tryStream(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, streamTry)
	defer cancel()
	_, err := p.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: fmt.Sprintf("s%d", i), Subjects: []string{fmt.Sprintf("chat.%d.*", i)}, Replicas: replicas, Storage: jetstream.FileStorage,
	})
	return err
}

// put publishes a message and waits for its ack. Its id has a server know it again, as a clientMessageId does.
func (p *natsPeer) put(ctx context.Context, sender, n int, body []byte) error {
	subject := fmt.Sprintf("chat.%d.%d", sender%p.streams, sender)
	_, err := p.js.Publish(ctx, subject, body, jetstream.WithMsgID(fmt.Sprintf("%d-%d", sender, n)))
	return err
}

// held is how many messages the streams hold.
func (p *natsPeer) held(ctx context.Context) (total int64, err error) {
	for i := range p.streams {
		s, err := p.js.Stream(ctx, fmt.Sprintf("s%d", i))
		if err != nil {
			return 0, err
		}
		info, err := s.Info(ctx)
		if err != nil {
			return 0, err
		}
		total += int64(info.State.Msgs)
	}
	return total, nil
}

// listen has members get every message of sender 0's chat by an ordered consumer each, on a connection each: after it is durable, once, in
// order, as members of a chat get it.
func (p *natsPeer) listen(ctx context.Context, members int, got func(member int, body []byte, at time.Time)) error {
	var group sync.WaitGroup
	errs := make([]error, members)
	p.conns = make([]*nats.Conn, members)
	for lane := range 16 {
		group.Go(func() {
			for m := lane; m < members; m += 16 {
				errs[m] = p.join(ctx, m, got)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func (p *natsPeer) join(ctx context.Context, m int, got func(member int, body []byte, at time.Time)) error {
	conn, err := nats.Connect(p.urls)
	if err != nil {
		return err
	}
	p.conns[m] = conn
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	c, err := js.OrderedConsumer(ctx, "s0", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"chat.0.0"}})
	if err != nil {
		return err
	}
	_, err = c.Consume(func(msg jetstream.Msg) { got(m, msg.Data(), time.Now()) })
	return err
}

func (p *natsPeer) close() {
	for _, c := range p.conns {
		if c != nil {
			c.Close()
		}
	}
	p.conn.Close()
}
