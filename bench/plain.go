package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// plainPing is how often the plain server pings each of its clients.
const plainPing = 5 * time.Minute

// Plain serves what Idle asks for as a plain server does, with a goroutine and a timer for each connection and a library's buffers: what a
// delivery node's memory is compared with. It knows no users and no chats, so it has less to keep. It goes on until ctx ends.
func Plain(ctx context.Context, ln net.Listener) error {
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"quorate.v1"}})
		if err != nil {
			return // Accept has answered
		}
		defer func() { _ = ws.CloseNow() }()
		servePlain(ctx, ws)
	})}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// servePlain welcomes a client and reads what it says until it is gone. The library answers pongs while it reads.
func servePlain(ctx context.Context, ws *websocket.Conn) {
	if _, _, err := ws.Read(ctx); err != nil {
		return
	}
	if err := ws.Write(ctx, websocket.MessageText, []byte(`{"type":"welcome","chats":[]}`)); err != nil {
		return
	}
	var ping *time.Timer
	ping = time.AfterFunc(plainPing, func() {
		if ws.Ping(ctx) == nil {
			ping.Reset(plainPing)
		}
	})
	defer ping.Stop()
	for {
		if _, _, err := ws.Read(ctx); err != nil {
			return
		}
	}
}
