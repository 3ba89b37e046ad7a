package delivery

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it; it protects nothing
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// handshakeKey is the constant that RFC 6455 section 1.3 has the server mix into the client's key.
	handshakeKey = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	// maxOfferedProtocols bounds the list of subprotocols in a handshake.
	maxOfferedProtocols = 16
	// handshakeWrite is how long the answer to a handshake may take to get into the socket's empty buffer.
	handshakeWrite = 5 * time.Second
)

// upgrade makes a WebSocket connection of a request and hands it to h. On a bad handshake it answers the error itself: 426 where the
// protocol or its version is another, 405 for the method, 403 for the origin, 429 over the limits of its address, 503 over MaxConns, 400 for the rest; and the error says
// what it was. subprotocols are those that the caller knows; the first of the client's list that is among them is agreed on,
// none when there is none. The session must not keep r or w.
func (e *engine) upgrade(w http.ResponseWriter, r *http.Request, subprotocols []string, h connHandler) (*conn, error) {
	accept, protocol, p := e.checkHandshake(r, subprotocols)
	from := e.cfg.Addresses.of(r)
	if p == nil {
		p = e.admit(from)
	}
	if p != nil {
		e.refuseHandshake(w, p)
		return nil, p
	}
	c, err := e.hijack(w, accept, protocol, from, h)
	if err != nil {
		e.dismiss(from)
		return nil, err
	}
	return c, nil
}

func (e *engine) refuseHandshake(w http.ResponseWriter, p *problem) {
	switch p.httpStatus() {
	case http.StatusUpgradeRequired:
		w.Header().Set("Upgrade", "websocket")
		w.Header()["Connection"] = []string{"close", "Upgrade"} // in this order net/http sees that it is to close
		w.Header().Set("Sec-WebSocket-Version", "13")
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodGet)
	}
	writeProblem(w, p)
}

// hijack takes the connection from net/http, answers 101 and moves it into epoll. From the hijack on there is nobody to tell of an
// error but the caller.
func (e *engine) hijack(w http.ResponseWriter, accept, protocol string, from addressKey, h connHandler) (*conn, error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		writeProblem(w, refuse(codeInternal, "this server cannot upgrade the connection"))
		return nil, fmt.Errorf("hijack: %w", err)
	}
	nc = plainConn(nc)
	early, err := earlyBytes(rw.Reader)
	if err == nil {
		err = answerHandshake(nc, accept, protocol)
	}
	if err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("answer handshake: %w", err)
	}
	tcp, ok := nc.(*net.TCPConn)
	if secure, under := nc.(*tls.Conn); under {
		if tcp, err = e.pairs.plain(secure); err != nil {
			_ = nc.Close()
			return nil, err
		}
	} else if !ok {
		_ = nc.Close()
		return nil, errors.New("hijack: neither TCP nor TLS")
	}
	return e.adopt(tcp, early, from, h)
}

// earlyBytes takes what the client sent right behind the handshake and net/http has read already.
func earlyBytes(r *bufio.Reader) ([]byte, error) {
	b := make([]byte, r.Buffered())
	if len(b) == 0 {
		return nil, nil
	}
	peeked, err := r.Peek(len(b))
	copy(b, peeked)
	return b, err
}

// answerHandshake switches protocols, and takes away the deadlines that net/http had set.
func answerHandshake(nc net.Conn, accept, protocol string) error {
	b := make([]byte, 0, 192)
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = append(b, accept...)
	if protocol != "" {
		b = append(b, "\r\nSec-WebSocket-Protocol: "...)
		b = append(b, protocol...)
	}
	b = append(b, "\r\n\r\n"...)
	if err := nc.SetDeadline(time.Now().Add(handshakeWrite)); err != nil {
		return err
	}
	if _, err := nc.Write(b); err != nil {
		return err
	}
	return nc.SetDeadline(time.Time{})
}

// checkHandshake judges a request by RFC 6455 section 4.2.1, and its origin.
func (e *engine) checkHandshake(r *http.Request, known []string) (accept, protocol string, p *problem) {
	bad := func(status int, detail string) (string, string, *problem) {
		return "", "", &problem{code: codeBadRequest, status: status, detail: detail}
	}
	header := r.Header
	switch {
	case r.Method != http.MethodGet:
		return bad(http.StatusMethodNotAllowed, "a WebSocket handshake is a GET")
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1:
		return bad(http.StatusBadRequest, "a WebSocket handshake needs HTTP/1.1")
	case !hasToken(header["Upgrade"], "websocket") || !hasToken(header["Connection"], "upgrade"):
		return bad(http.StatusUpgradeRequired, "this is a WebSocket endpoint")
	case !slices.Equal(header["Sec-Websocket-Version"], []string{"13"}):
		return bad(http.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13")
	case r.Host == "":
		return bad(http.StatusBadRequest, "a Host is required")
	case r.ContentLength != 0:
		return bad(http.StatusBadRequest, "a WebSocket handshake has no body")
	}
	keys := header["Sec-Websocket-Key"]
	if len(keys) != 1 || !validKey(keys[0]) {
		return bad(http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64")
	}
	if !e.originAllowed(r) {
		return bad(http.StatusForbidden, "this origin is not allowed")
	}
	offered, ok := tokenList(header["Sec-Websocket-Protocol"])
	if !ok {
		return bad(http.StatusBadRequest, "Sec-WebSocket-Protocol must be a list of different tokens")
	}
	for _, o := range offered {
		if slices.Contains(known, o) {
			protocol = o
			break
		}
	}
	return acceptKey(keys[0]), protocol, nil
}

// originAllowed keeps the pages of other sites out. Tokens, never cookies, say who a client is, so a page of another site could do
// little even so. Clients that are no browsers send no Origin and may come; one with cookies and no Origin is neither.
func (e *engine) originAllowed(r *http.Request) bool {
	origins := r.Header["Origin"]
	switch {
	case len(origins) == 0:
		return len(r.Header["Cookie"]) == 0
	case len(origins) > 1:
		return false
	case slices.Contains(e.cfg.AllowedOrigins, "*"):
		return true
	}
	origin := origins[0]
	for _, allowed := range e.cfg.AllowedOrigins {
		if strings.EqualFold(origin, allowed) {
			return true
		}
	}
	if len(e.cfg.AllowedOrigins) > 0 {
		return false
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return strings.EqualFold(origin, u.Scheme+"://"+r.Host)
}

// validKey tells whether s is exactly 16 bytes in base64.
func validKey(s string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 16 && len(s) == 24
}

// acceptKey proves to the client that its key was read by a WebSocket server.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + handshakeKey)) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// hasToken tells whether a header that is a list of tokens has one, whatever its case.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// tokenList splits a header that is a list of different tokens. Empty elements are no tokens.
func tokenList(values []string) ([]string, bool) {
	var list []string
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			part = strings.Trim(part, " \t")
			if !isToken(part) || slices.Contains(list, part) || len(list) == maxOfferedProtocols {
				return nil, false
			}
			list = append(list, part)
		}
	}
	return list, true
}

// isToken tells whether s is a token of RFC 9110.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
