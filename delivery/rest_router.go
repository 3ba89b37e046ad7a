package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/quorate/quorate/sequencer/wire"
)

// maxHeaderLines bounds the headers of one request beside their bytes.
const maxHeaderLines = 100

// call is one REST request on its way through a handler.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	user string // "" on open routes
	who  identity
	from addressKey
	arg  string // the id in the path, "" on routes without one
}

// route is one path and what it answers to each method. A segment "{chat}", "{user}", "{device}" or "{message}" matches any id.
type route struct {
	path    []string
	methods map[string]func(*Server, context.Context, *call) error
	open    bool // no token is asked for
	socket  bool // becomes a WebSocket: the handler authenticates by itself and has no deadline
}

var routes = []route{
	{path: []string{"chats"}, methods: methods{"GET": (*Server).listChats, "POST": (*Server).createChat}},
	{path: []string{"chats", "{chat}"}, methods: methods{"GET": (*Server).getChat}},
	{path: []string{"chats", "{chat}", "members"}, methods: methods{"POST": (*Server).changeMembers}},
	{path: []string{"chats", "{chat}", "messages"}, methods: methods{"GET": (*Server).listMessages, "POST": (*Server).sendMessage}},
	{path: []string{"chats", "{chat}", "stream"}, methods: methods{"GET": (*Server).openChatStream}, socket: true},
	{path: []string{"chats", "{chat}", "mute"}, methods: methods{"PUT": (*Server).muteChat, "DELETE": (*Server).unmuteChat}},
	{path: []string{"me", "devices"}, methods: methods{"GET": (*Server).listDevices}},
	{path: []string{"me", "devices", "{device}"}, methods: methods{"PUT": (*Server).putDevice, "DELETE": (*Server).removeDevice}},
	{path: []string{"messages", "{message}", "read"}, methods: methods{"POST": (*Server).readMessage}},
	{path: []string{"messages", "{message}", "receipts"}, methods: methods{"GET": (*Server).listReceipts}},
	{path: []string{"users", "{user}", "presence"}, methods: methods{"GET": (*Server).getPresence}},
	{path: []string{"stream"}, methods: methods{"GET": (*Server).openStream}, socket: true},
	{path: []string{"healthz"}, methods: methods{"GET": (*Server).health, "HEAD": (*Server).health}, open: true},
	{path: []string{"readyz"}, methods: methods{"GET": (*Server).readiness, "HEAD": (*Server).readiness}, open: true},
}

type methods = map[string]func(*Server, context.Context, *call) error

// match finds the route of a path as it was written, and the id in it. Each segment is unescaped by itself, so that an
// escaped slash is never a separator.
func match(escaped string) (found *route, arg string, err error) {
	segments := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	for i, s := range segments {
		if segments[i], err = url.PathUnescape(s); err != nil {
			return nil, "", refuse(codeBadRequest, "malformed path")
		}
	}
next:
	for i := range routes {
		if len(routes[i].path) != len(segments) {
			continue
		}
		for j, want := range routes[i].path {
			if want[0] == '{' {
				arg = segments[j]
			} else if want != segments[j] {
				continue next
			}
		}
		return &routes[i], arg, checkArg(routes[i].path, arg)
	}
	return nil, "", nil
}

func checkArg(path []string, arg string) error {
	switch {
	case arg == "." || arg == "..": // valid ids, but a proxy in front may take them for steps in the path
		return refuse(codeBadRequest, "malformed path")
	case slices.Contains(path, "{chat}"):
		return wire.CheckID("chatId", arg)
	case slices.Contains(path, "{user}"):
		return wire.CheckID("userId", arg)
	case slices.Contains(path, "{device}"):
		return wire.CheckID("deviceId", arg)
	case slices.Contains(path, "{message}"):
		_, _, err := parseMessageID(arg)
		return err
	}
	return nil
}

// ServeHTTP answers every request on the edge's port.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("BUG: a handler panicked", "method", r.Method, "panic", p)
			writeProblem(w, refuse(codeInternal, "internal error"))
		}
	}()
	if err := s.serve(w, r); err != nil {
		p := problemOf(err)
		s.note(p, r.Method, err)
		writeProblem(w, p)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	if p := checkHead(w, r); p != nil {
		return p
	}
	if s.hub.ready() {
		w.Header().Set(epochHeader, s.epoch.text())
	}
	if len(r.Header) > maxHeaderLines {
		return &problem{code: codeBadRequest, status: http.StatusRequestHeaderFieldsTooLarge, detail: "too many headers"}
	}
	found, arg, err := match(r.URL.EscapedPath())
	if found == nil && err == nil {
		return refuse(codeNotFound, "no such path")
	}
	if found == nil {
		return err
	}
	if s.cfg.NoClients && !found.open {
		return refuse(codeUnavailable, "this node takes no clients")
	}
	handler := found.methods[r.Method]
	if handler == nil {
		w.Header().Set("Allow", found.allow())
		return &problem{code: codeBadRequest, status: http.StatusMethodNotAllowed, detail: "method not allowed"}
	}
	c := &call{w: w, r: r, arg: arg, from: s.addresses.of(r)}
	if found.socket {
		if err != nil {
			return err
		}
		return handler(s, r.Context(), c)
	}
	if !found.open {
		if p := s.addresses.mayFail(c.from); p != nil {
			return p
		}
		id, bad := s.auth.ofHeader(r)
		if bad != nil {
			return s.badToken(c.from, bad)
		}
		c.user, c.who = id.user, id
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.RequestTimeout)
	defer cancel()
	return handler(s, ctx, c)
}

func (r *route) allow() string {
	var names []string
	for name := range r.methods {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// body reads the request's body, which must be one JSON object within the bound.
func (s *Server) body(c *call) (*fields, error) {
	h := c.r.Header
	if enc := h.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, &problem{
			code: codeBadRequest, status: http.StatusUnsupportedMediaType, detail: "compressed bodies are not taken",
		}
	}
	if kind := h.Get("Content-Type"); kind != "" {
		media, _, err := mime.ParseMediaType(kind)
		if err != nil || media != "application/json" && media != "application/x-www-form-urlencoded" {
			// The second is what curl -d says of anything. Tokens travel in a header only, so a form on somebody's page, which
			// can send that type too, gains nothing.
			return nil, &problem{
				code: codeBadRequest, status: http.StatusUnsupportedMediaType, detail: "the body must be application/json",
			}
		}
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, s.limits.BodyBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, fmt.Errorf("%w: the body has more than %d bytes", wire.ErrTooLarge, s.limits.BodyBytes)
	case err != nil:
		return nil, refuse(codeBadRequest, "the body cannot be read")
	}
	obj, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	return &fields{obj: obj}, nil
}

// query reads the parameters of a request; one that comes twice is refused.
func (c *call) query() (url.Values, error) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, refuse(codeBadRequest, "malformed query")
	}
	for name, list := range values {
		if len(list) > 1 {
			return nil, refuse(codeBadRequest, "a parameter comes twice: "+printable(name))
		}
	}
	return values, nil
}

// printable cuts what a client named, for use in a detail.
func printable(s string) string {
	if wire.CheckClientMessageID(s) != nil {
		return "(unprintable)"
	}
	return s
}

// queryLimit reads the parameter limit.
func queryLimit(values url.Values) (int, error) {
	if !values.Has("limit") {
		return defaultPage, nil
	}
	return parseLimit(values.Get("limit"))
}
