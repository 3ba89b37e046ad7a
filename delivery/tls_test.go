package delivery

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

// newCertificate makes a certificate for 127.0.0.1, and what a client needs to trust it.
func newCertificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func TestTLS_RESTAndWebSocketAsWithout(t *testing.T) {
	sequencers := startCluster(t, 1)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("github.com/hashicorp/raft.emitLogStoreMetrics"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/raft.(*raftState).goFunc.func1"))
	server, client := newCertificate(t)
	t.Run("edge", func(t *testing.T) {
		e := openEdge(t, sequencers, func(c *Config) { c.TLS = server })
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true}}
		defer h.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()

		alice, bob := fresh("alice"), fresh("bob")
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+e.Addr()+"/chats",
			strings.NewReader(`{"type":"group","chatId":"`+alice+`-tls","members":["`+bob+`"]}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer user:"+alice)
		answer, err := h.Do(r)
		if err != nil || answer.StatusCode != http.StatusCreated || answer.ProtoMajor != 1 {
			t.Fatalf("%+v, %v", answer, err)
		}
		_ = answer.Body.Close()

		dial := func(user string) *websocket.Conn {
			c, _, err := websocket.Dial(ctx, "wss://"+e.Addr()+"/stream", &websocket.DialOptions{
				HTTPClient: h, Subprotocols: []string{protocolV1}, HTTPHeader: http.Header{"Authorization": {"Bearer user:" + user}},
			})
			if err != nil {
				t.Fatal(err)
			}
			c.SetReadLimit(1 << 20)
			if err := c.Write(ctx, websocket.MessageText, []byte(`{"type":"hello","deviceId":"d"}`)); err != nil {
				t.Fatal(err)
			}
			return c
		}
		await := func(c *websocket.Conn, what string) {
			for {
				_, b, err := c.Read(ctx)
				if err != nil {
					t.Fatalf("await %s: %v", what, err)
				}
				if bytes.Contains(b, []byte(what)) {
					return
				}
			}
		}
		a, b := dial(alice), dial(bob)
		await(a, `"caughtUp"`)
		await(b, `"caughtUp"`)
		text := strings.Repeat("x", 4000)
		for range 50 {
			if err := a.Write(ctx, websocket.MessageText,
				[]byte(`{"type":"send","id":1,"chatId":"`+alice+`-tls","clientMessageId":"`+fresh("m")+`","text":"`+text+`"}`)); err != nil {
				t.Fatal(err)
			}
		}
		for range 50 {
			await(b, text)
		}
		if err := b.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Errorf("close: %v", err)
		}
		closed := make(chan error, 1)
		go func() { closed <- e.Close(ctx) }()
		for {
			if _, _, err = a.Read(ctx); err != nil {
				break
			}
		}
		if code := websocket.CloseStatus(err); code != closeDraining {
			t.Errorf("the edge ended the connection with %d: %v", code, err)
		}
		_ = a.CloseNow()
		if err := <-closed; err != nil {
			t.Errorf("close the edge: %v", err)
		}
	})
}

// A client behind TLS that vanishes, or never reads, leaves nothing behind.
func TestTLS_ClientsThatDoNotEnd(t *testing.T) {
	server, client := newCertificate(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	accepted := make(chan net.Conn)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			err = c.(*tls.Conn).Handshake()
		}
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	far, err := tls.Dial("tcp", ln.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	var p pairs
	defer p.close()
	inner, err := p.plain((<-accepted).(*tls.Conn))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := far.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if n, err := inner.Read(buf); err != nil || string(buf[:n]) != "hello" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if _, err := inner.Write([]byte("bye")); err != nil {
		t.Fatal(err)
	}
	if err := inner.CloseWrite(); err != nil { // as the engine ends a connection
		t.Fatal(err)
	}
	if n, err := far.Read(buf); err != nil || string(buf[:n]) != "bye" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if _, err := far.Read(buf); err == nil {
		t.Error("the end did not come")
	}
	_ = far.NetConn().Close() // without a word
	if _, err := inner.Read(buf); err == nil {
		t.Error("the client's end did not come")
	}
	_ = inner.Close()
}
