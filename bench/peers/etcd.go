package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// serveEtcd is one etcd member until ctx ends.
func (n *node) serveEtcd(ctx context.Context) error {
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.LogLevel = fmt.Sprintf("n%d", n.number), n.dir, "error"
	at := func(port int) []url.URL { return []url.URL{{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}} }
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = at(n.clientPort(n.number)), at(n.clientPort(n.number))
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = at(n.peerPort(n.number)), at(n.peerPort(n.number))
	var members []string
	for i := range replicas {
		members = append(members, fmt.Sprintf("n%d=http://127.0.0.1:%d", i, n.peerPort(i)))
	}
	cfg.InitialCluster = strings.Join(members, ",")
	cfg.QuotaBackendBytes = 8 << 30
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		return err
	case <-time.After(startTime):
		return errors.New("etcd is not ready")
	}
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// etcdPeer is a client of the members.
type etcdPeer struct{ client *clientv3.Client }

func openEtcd(f *fleet) (*etcdPeer, error) {
	var ends []string
	for i := range replicas {
		ends = append(ends, fmt.Sprintf("http://127.0.0.1:%d", f.ports[2*i]))
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: ends, DialTimeout: startTime})
	return &etcdPeer{c}, err
}

// put writes a key that nobody else writes.
func (p *etcdPeer) put(ctx context.Context, sender, n int, body []byte) error {
	_, err := p.client.Put(ctx, fmt.Sprintf("chat/%d/%010d", sender, n), string(body))
	return err
}

func (p *etcdPeer) held(ctx context.Context) (int64, error) {
	r, err := p.client.Get(ctx, "chat/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return r.Count, nil
}

func (p *etcdPeer) close() { _ = p.client.Close() }
