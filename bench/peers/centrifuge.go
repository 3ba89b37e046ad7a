package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"
)

// serveCentrifuge is one node of Centrifuge, the library that Centrifugo is made of, until ctx ends: JSON over WebSocket, the settings that it
// comes with, nothing kept.
func (n *node) serveCentrifuge(ctx context.Context) error {
	c, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return err
	}
	c.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	c.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{}, nil)
		})
		client.OnPublish(func(_ centrifuge.PublishEvent, done centrifuge.PublishCallback) { done(centrifuge.PublishReply{}, nil) })
	})
	if err := c.Run(); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(centrifugePath, centrifuge.NewWebsocketHandler(c, centrifuge.WebsocketConfig{}))
	server := &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", n.clientPort(0)), Handler: mux, ReadHeaderTimeout: startTime}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	if err := listens(ctx, server.Addr); err != nil {
		return err
	}
	fmt.Println("ready")
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return errors.Join(server.Close(), c.Shutdown(context.Background()))
	}
}

// listens waits until somebody answers at an address.
func listens(ctx context.Context, addr string) error {
	for deadline := time.Now().Add(startTime); ; time.Sleep(20 * time.Millisecond) {
		conn, err := dial(ctx, addr)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
	}
}
