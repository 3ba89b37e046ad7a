package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestStream_SendAndReceive(t *testing.T) {
	addrs := startCluster(t, 1)
	one, two := openEdge(t, addrs), openEdge(t, addrs)
	alice, bob := fresh("alice"), fresh("bob")
	id := one.group(alice, bob)
	a, b := one.dialPath(alice, "/stream"), two.dial(bob)
	w := a.hello("phone", `{"`+id+`":1}`)
	if w["userId"] != alice || w["sessionId"] == "" || number(w["epoch"]) != 1 {
		t.Errorf("welcome %v", w)
	}
	a.send(`{"type":"send","id":7,"chatId":"` + id + `","clientMessageId":"m1","text":"hé","seen":9}`)
	sent := a.awaitType("sent")
	if number(sent["id"]) != 7 || sent["messageId"] != id+":1" || number(sent["lamport"]) != 10 || sent["status"] != "sent" ||
		sent["replayed"] != false || sent["clientMessageId"] != "m1" || sent["sentAt"] == nil {
		t.Errorf("sent %v", sent)
	}
	for _, d := range []*device{a, b} {
		m := d.awaitType("message")
		if m["messageId"] != id+":1" || m["senderId"] != alice || m["text"] != "hé" || m["sentAt"] != sent["sentAt"] ||
			number(m["sequenceNumber"]) != 1 || m["clientMessageId"] != "m1" {
			t.Errorf("message %v", m)
		}
	}
	a.send(`{"type":"send","id":"again","chatId":"` + id + `","clientMessageId":"m1","text":"hé"}`)
	if again := a.awaitType("sent"); again["id"] != "again" || again["replayed"] != true || number(again["sequenceNumber"]) != 1 {
		t.Errorf("again %v", again)
	}
	a.send(`{"type":"send","id":"x","chatId":"` + id + `","clientMessageId":"m1","text":"other"}`)
	if e := a.awaitType("error"); e["id"] != "x" || e["code"] != "conflict" || e["temporary"] != false {
		t.Errorf("error %v", e)
	}
	a.send(`{"type":"history","id":"h","chatId":"` + id + `","cursor":1,"limit":10}`)
	if p := a.awaitType("page"); p["id"] != "h" || p["chatId"] != id || len(p["messages"].([]any)) != 1 || p["nextCursor"] != nil {
		t.Errorf("page %v", p)
	}
	a.quiet("the replay was pushed", func(m map[string]any) bool { return m["type"] == "message" })
}

func TestStream_ResumeFromCursors(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), func(c *Config) { c.Limits.PageMessages = 8 })
	alice, bob := fresh("alice"), fresh("bob")
	one, two, idle := e.group(alice, bob), e.group(alice, bob), e.group(alice, bob)
	for range 30 {
		e.post(alice, one, "x")
		e.post(alice, two, "x")
	}
	eventually(t, "bob's list", func() bool {
		return len(e.must(bob, "GET", "/chats", "", 200).json()["chats"].([]any)) == 3
	})
	b := e.dialPath(bob, "/stream")
	w := b.hello("d", `{"`+one+`":11,"`+two+`":31}`)
	if chats := w["chats"].([]any); len(chats) != 3 {
		t.Errorf("welcome lists %v", chats)
	}
	b.awaitSeqs(one, 11, 30)
	done := b.awaitType("caughtUp")
	if chats := done["chats"].([]any); len(chats) != 1 || chats[0].(map[string]any)["chatId"] != one ||
		number(chats[0].(map[string]any)["nextSeq"]) != 31 {
		t.Errorf("caughtUp %v", done)
	}
	e.post(alice, two, "live")
	e.post(alice, idle, "live")
	b.awaitSeqs(two, 31, 31)
	b.awaitSeqs(idle, 1, 1)
	// What one device has acknowledged is where the next one without a cursor begins.
	b.send(`{"type":"ack","id":1,"chatId":"` + one + `","seq":25}`)
	if r := b.awaitType("receipt"); number(r["id"]) != 1 || number(r["deliveredUpTo"]) != 25 || number(r["readUpTo"]) != 0 {
		t.Errorf("the answer to ack is %v", r)
	}
	c := e.dialPath(bob, "/stream")
	c.hello("d2", "")
	c.awaitSeqs(one, 26, 30)
	c.awaitSeqs(two, 1, 31)
	c.awaitType("caughtUp")
}

func TestStream_CursorsThatAreWrong(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob := fresh("alice"), fresh("bob")
	mine, foreign := e.group(alice), e.group(bob)
	e.post(alice, mine, "x")
	d := e.dialPath(alice, "/stream")
	for _, n := range []string{"0", "-1", "1.5", `"1"`, "9223372036854775808", "9007199254740992", "[]"} {
		d.send(`{"type":"hello","id":"h","deviceId":"d","cursors":{"` + mine + `":` + n + `}}`)
		if m := d.awaitType("error"); m["code"] != "bad_request" || m["id"] != "h" {
			t.Errorf("cursor %s: %v", n, m)
		}
	}
	d.hello("d", `{"`+mine+`":3,"`+foreign+`":1,"nochat":1}`)
	got := map[any]any{}
	for range 3 {
		m := d.awaitType("error")
		got[m["chatId"]] = m["code"]
	}
	if got[mine] != "bad_request" || got[foreign] != "not_found" || got["nochat"] != "not_found" {
		t.Errorf("errors %v", got)
	}
	d.awaitType("caughtUp")
	e.post(alice, mine, "y")
	d.awaitSeqs(mine, 2, 2)
	d.send(`{"type":"hello","deviceId":"d"}`)
	if m := d.awaitType("error"); m["code"] != "bad_request" {
		t.Errorf("a second hello: %v", m)
	}
}

// TestStream_HostileFrames has one row for each kind of bad frame, with the one answer it may get. The connection stays.
func TestStream_HostileFrames(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob := fresh("alice"), fresh("bob")
	mine, foreign := e.group(alice), e.group(bob)
	e.post(alice, mine, "the only one")
	e.post(bob, foreign, "secret")
	d := e.dial(alice)
	send := func(chat, text string) string {
		return `{"type":"send","id":"r","chatId":"` + chat + `","clientMessageId":"c1","text":` + text + `}`
	}
	for name, row := range map[string][2]string{
		"no type":             {`{"id":"r"}`, "bad_request"},
		"type is a number":    {`{"id":"r","type":1}`, "bad_request"},
		"unknown type":        {`{"id":"r","type":"subscribe"}`, "bad_request"},
		"send no chat":        {`{"id":"r","type":"send","text":"x","clientMessageId":"c"}`, "bad_request"},
		"send bad chat":       {send("a b", `"x"`), "bad_request"},
		"send foreign":        {send(foreign, `"x"`), "not_found"},
		"send nowhere":        {send("nochat", `"x"`), "not_found"},
		"send number":         {send(mine, `1`), "bad_request"},
		"send empty":          {send(mine, `""`), "bad_request"},
		"send NUL":            {send(mine, `"\u0000"`), "bad_request"},
		"send too large":      {send(mine, `"`+strings.Repeat("x", 16<<10+1)+`"`), "too_large"},
		"send no id":          {`{"id":"r","type":"send","chatId":"` + mine + `","text":"x"}`, "bad_request"},
		"send bad trace":      {`{"id":"r","type":"send","chatId":"` + mine + `","text":"x","clientMessageId":"c","traceparent":"\n"}`, "bad_request"},
		"ack foreign":         {`{"id":"r","type":"ack","chatId":"` + foreign + `","seq":1}`, "not_found"},
		"read foreign":        {`{"id":"r","type":"read","chatId":"` + foreign + `","seq":1}`, "not_found"},
		"ack beyond":          {`{"id":"r","type":"ack","chatId":"` + mine + `","seq":2}`, "bad_request"},
		"ack 0":               {`{"id":"r","type":"ack","chatId":"` + mine + `","seq":0}`, "bad_request"},
		"ack -1":              {`{"id":"r","type":"ack","chatId":"` + mine + `","seq":-1}`, "bad_request"},
		"ack a string":        {`{"id":"r","type":"ack","chatId":"` + mine + `","seq":"1"}`, "bad_request"},
		"ack 2^63":            {`{"id":"r","type":"ack","chatId":"` + mine + `","seq":9223372036854775808}`, "bad_request"},
		"ack nothing":         {`{"id":"r","type":"ack","chatId":"` + mine + `"}`, "bad_request"},
		"history foreign":     {`{"id":"r","type":"history","chatId":"` + foreign + `","cursor":1}`, "not_found"},
		"history cursor 0":    {`{"id":"r","type":"history","chatId":"` + mine + `","cursor":0}`, "bad_request"},
		"history limit":       {`{"id":"r","type":"history","chatId":"` + mine + `","limit":501}`, "bad_request"},
		"typing foreign":      {`{"id":"r","type":"typing","chatId":"` + foreign + `"}`, "not_found"},
		"typing nowhere":      {`{"id":"r","type":"typing","chatId":"nochat"}`, "not_found"},
		"typing without chat": {`{"id":"r","type":"typing"}`, "bad_request"},
		"presence unknown":    {`{"id":"r","type":"presence","status":"asleep"}`, "bad_request"},
	} {
		d.send(row[0])
		if m := d.awaitType("error"); m["code"] != row[1] || m["id"] != "r" {
			t.Errorf("%s: %v, want %s", name, m, row[1])
		}
	}
	d.send(`{"type":"ack","chatId":"` + foreign + `","seq":1}`)
	if m := d.awaitType("error"); m["code"] != "not_found" || m["id"] != nil {
		t.Errorf("ack without id: %v", m)
	}
	d.send(`{"type":"typing","id":{},"chatId":"` + mine + `"}`)
	if m := d.awaitType("error"); m["code"] != "bad_request" || m["id"] != nil {
		t.Errorf("an id that is an object: %v", m)
	}
	for _, chat := range []string{mine, foreign} {
		user := map[string]string{mine: alice, foreign: bob}[chat]
		if n := len(e.must(user, "GET", "/chats/"+chat+"/messages", "", 200).json()["messages"].([]any)); n != 1 {
			t.Errorf("%d messages in %s, want 1", n, chat)
		}
	}
}

func TestStream_NotJSONEndsIt(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	for _, text := range []string{`hello`, `[]`, `"x"`, `{"type":"ack"`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, strings.Repeat(`{"a":`, 100)} {
		d := e.dial(fresh("alice"))
		d.send(text)
		if m := d.awaitType("error"); m["code"] != "bad_request" {
			t.Errorf("%s: %v", text, m)
		}
		if code := d.awaitClose(); code != closeBadFrame {
			t.Errorf("%s: closed with %d", text, code)
		}
	}
}

func TestStream_Hello(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), func(c *Config) { c.Limits.HelloTimeout = 200 * time.Millisecond })
	user := fresh("alice")
	none := http.Header{}
	d, _ := e.tryDial("/stream", none, "quorate.v1")
	if d.ws.Subprotocol() != "quorate.v1" {
		t.Errorf("subprotocol %q", d.ws.Subprotocol())
	}
	d.send(`{"type":"send","chatId":"x","clientMessageId":"1","text":"x"}`)
	if m := d.awaitType("error"); m["code"] != "bad_request" {
		t.Errorf("send before hello: %v", m)
	}
	d.send(`{"type":"hello","deviceId":"a b"}`)
	if m := d.awaitType("error"); m["code"] != "bad_request" {
		t.Errorf("a bad deviceId: %v", m)
	}
	if code := d.awaitClose(); code != closeUnauthenticated {
		t.Errorf("no hello in time: %d", code)
	}
	d, _ = e.tryDial("/stream", none)
	d.send(`{"type":"hello","deviceId":"d"}`)
	if code := d.awaitClose(); code != closeUnauthenticated {
		t.Errorf("no token: %d", code)
	}
	for name, token := range badTokens(t, time.Now()) {
		if name == "no-auth user" || name == "empty" {
			continue
		}
		d, _ = e.tryDial("/stream", none)
		text, _ := json.Marshal(token)
		d.send(`{"type":"hello","deviceId":"d","token":` + string(text) + `}`)
		if m := d.awaitType("error"); m["code"] != "unauthenticated" {
			t.Errorf("%s: %v", name, m)
		}
		if code := d.awaitClose(); code != closeUnauthenticated {
			t.Errorf("%s: %d", name, code)
		}
	}
	token, err := SignToken(testSecret, user, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	d, _ = e.tryDial("/stream", none)
	d.send(`{"type":"hello","deviceId":"d","token":"` + token + `"}`)
	if w := d.awaitType("welcome"); w["userId"] != user {
		t.Errorf("token in hello: %v", w)
	}
	d, _ = e.tryDial("/stream", none, "quorate.v1", "bearer."+token)
	if d.ws.Subprotocol() != "quorate.v1" {
		t.Errorf("subprotocol %q", d.ws.Subprotocol())
	}
	if w := d.hello("d2", ""); w["userId"] != user {
		t.Errorf("token as subprotocol: %v", w)
	}
	d = e.dialPath(user, "/stream")
	other, _ := SignToken(testSecret, "other", time.Hour)
	d.send(`{"type":"hello","deviceId":"d","token":"` + other + `"}`)
	if code := d.awaitClose(); code != closeUnauthenticated {
		t.Errorf("two users in one handshake: %d", code)
	}
	for path, header := range map[string]http.Header{
		"/stream":                {"Authorization": {"Bearer x"}},
		"/stream?token=" + token: {},
		"/chats/nochat/stream":   {},
	} {
		if _, status := e.tryDial(path, header); status != 401 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestStream_TokenExpires(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	e := openEdge(t, startCluster(t, 1), func(c *Config) {
		c.Limits.TokenSweepInterval = 10 * time.Millisecond
		c.Clock = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
	})
	user := fresh("alice")
	token := signed(t, jwt.SigningMethodHS256, testSecret, jwt.MapClaims{"sub": user, "exp": now.Add(time.Minute).Unix()}, nil)
	header := http.Header{"Authorization": {"Bearer " + token}}
	d, _ := e.tryDial("/stream", header)
	d.hello("d", "")
	stays := e.dial(user)
	mu.Lock()
	now = now.Add(time.Minute + tokenLeeway + 2*time.Second)
	mu.Unlock()
	if code := d.awaitClose(); code != closeTokenExpired {
		t.Errorf("closed with %d", code)
	}
	stays.quiet("the other one", func(map[string]any) bool { return false })
}

func TestStream_NewerConnectionsReplaceOlder(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), func(c *Config) { c.Limits.UserConnections = 3 })
	user := fresh("alice")
	first := e.dialPath(user, "/stream")
	first.hello("phone", "")
	second := e.dialPath(user, "/stream")
	second.hello("phone", "")
	if code := first.awaitClose(); code != closeReplaced {
		t.Errorf("the same device: %d", code)
	}
	others := []*device{e.dial(user), e.dial(user)}
	others = append(others, e.dial(user))
	if code := second.awaitClose(); code != closeReplaced {
		t.Errorf("over the limit: %d", code)
	}
	for _, d := range others {
		d.quiet("", func(map[string]any) bool { return false })
	}
	if n := e.registry.count(); n != 3 {
		t.Errorf("%d sessions are registered", n)
	}
}

func TestStream_ReceiptsAndReads(t *testing.T) {
	addrs := startCluster(t, 1)
	one, two := openEdge(t, addrs), openEdge(t, addrs)
	alice, bob := fresh("alice"), fresh("bob")
	id := one.group(alice, bob)
	a, b, tablet := one.dial(alice), two.dial(bob), one.dial(bob)
	for range 5 {
		one.post(alice, id, "x")
	}
	b.awaitSeqs(id, 1, 5)
	for seq := 1; seq <= 5; seq++ {
		b.send(fmt.Sprintf(`{"type":"ack","chatId":"%s","seq":%d}`, id, seq))
	}
	upTo := func(d *device, delivered, read int64) {
		t.Helper()
		m := d.await("the receipt", func(m map[string]any) bool {
			return m["type"] == "receipt" && number(m["deliveredUpTo"]) == delivered && number(m["readUpTo"]) == read
		})
		if m["chatId"] != id || m["userId"] != bob || m["at"] == nil {
			t.Errorf("receipt %v", m)
		}
	}
	upTo(a, 5, 0)
	b.send(`{"type":"read","chatId":"` + id + `","seq":3}`)
	for _, d := range []*device{a, b, tablet} { // also to the reader's own devices
		upTo(d, 5, 3)
	}
	list := one.must(alice, "GET", "/messages/"+id+":3/receipts", "", 200).json()["receipts"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["readAt"] == nil {
		t.Errorf("receipts %v", list)
	}
	one.must(bob, "POST", "/messages/"+id+":4/read", "", 200)
	upTo(a, 5, 4)
}

func TestStream_Typing(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), func(c *Config) { c.Limits.TypingInterval = time.Hour })
	alice, bob := fresh("alice"), fresh("bob")
	id := e.group(alice, bob)
	a, tablet, b := e.dial(alice), e.dial(alice), e.dial(bob)
	e.post(alice, id, "hello")
	b.awaitSeqs(id, 1, 1) // the hub knows the members now: where it has to ask for them, and gets no answer, typing is dropped
	a.send(`{"type":"typing","chatId":"` + id + `"}`)
	a.send(`{"type":"typing","chatId":"` + id + `"}`)
	if m := b.awaitType("typing"); m["chatId"] != id || m["userId"] != alice {
		t.Errorf("typing %v", m)
	}
	typing := func(m map[string]any) bool { return m["type"] == "typing" }
	a.quiet("typing comes back", typing)
	b.quiet("typing is not throttled", typing)
	tablet.quiet("typing goes to the user's other device", typing)
}

func TestStream_MembersChange(t *testing.T) {
	addrs := startCluster(t, 1)
	one, two := openEdge(t, addrs), openEdge(t, addrs)
	alice, bob, carol := fresh("alice"), fresh("bob"), fresh("carol")
	a, b, c := one.dial(alice), two.dial(bob), two.dial(carol)
	id := one.group(alice, bob)
	for _, d := range []*device{a, b} {
		if m := d.awaitType("chat"); m["chat"].(map[string]any)["chatId"] != id {
			t.Errorf("chat %v", m)
		}
	}
	one.post(alice, id, "1")
	b.awaitSeqs(id, 1, 1)
	one.must(alice, "POST", "/chats/"+id+"/members", `{"add":["`+carol+`"],"remove":["`+bob+`"]}`, 200)
	if m := b.awaitType("chat")["chat"].(map[string]any); m["removed"] != true || len(m["members"].([]any)) != 0 {
		t.Errorf("the one who left got %v", m)
	}
	if m := c.awaitType("chat")["chat"].(map[string]any); len(m["members"].([]any)) != 2 || number(m["lastSeq"]) != 1 {
		t.Errorf("the one who came got %v", m)
	}
	one.post(alice, id, "2")
	c.awaitSeqs(id, 2, 2)
	b.quiet("a former member gets a message", func(m map[string]any) bool { return m["type"] == "message" })
	b.send(`{"type":"send","id":1,"chatId":"` + id + `","clientMessageId":"x","text":"x"}`)
	if m := b.awaitType("error"); m["code"] != "not_found" {
		t.Errorf("a former member sends: %v", m)
	}
	one.must(alice, "POST", "/chats/"+id+"/members", `{"add":["`+bob+`"]}`, 200)
	one.post(alice, id, "3")
	b.awaitSeqs(id, 3, 3)
	c.awaitSeqs(id, 3, 3)
	b.quiet("what was said meanwhile", func(m map[string]any) bool { return m["type"] == "message" })
}

// TestStream_SlowReaderCatchesUp has a client that reads nothing for a while: it gets every message once, and the state of
// what else it missed.
func TestStream_SlowReaderCatchesUp(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), func(c *Config) { c.Limits.OutboxBytes = 256 << 10 })
	alice, bob, carol, dave := fresh("alice"), fresh("bob"), fresh("carol"), fresh("dave")
	id := e.group(alice, bob, carol)
	eventually(t, "bob's list", func() bool {
		return len(e.must(bob, "GET", "/chats", "", 200).json()["chats"].([]any)) == 1
	})
	slow := e.slowDial(bob)
	const messages = 800
	text, _ := json.Marshal(strings.Repeat("x", 12<<10))
	for i := range messages {
		e.must(alice, "POST", "/chats/"+id+"/messages", fmt.Sprintf(`{"text":%s,"clientMessageId":"m%d"}`, text, i), 201)
	}
	s := e.registry.sessions(bob)[0]
	eventually(t, "the outbox to be full", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.full && s.c.buffered() <= 256<<10
	})
	e.must(carol, "POST", fmt.Sprintf("/messages/%s:%d/read", id, messages), "", 200)
	e.must(alice, "POST", "/chats/"+id+"/members", `{"add":["`+dave+`"]}`, 200)
	eventually(t, "the session to lose a frame", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.lost) == 1
	})
	slow.start()
	slow.awaitSeqs(id, 1, messages)
	slow.await("the lost receipt", func(m map[string]any) bool {
		return m["type"] == "receipt" && m["userId"] == carol && number(m["readUpTo"]) == messages
	})
	slow.await("the lost change", func(m map[string]any) bool {
		return m["type"] == "chat" && len(m["chat"].(map[string]any)["members"].([]any)) == 4
	})
	slow.quiet("a message came twice", func(m map[string]any) bool { return m["type"] == "message" })
}

func TestStream_Drains(t *testing.T) {
	addrs := startCluster(t, 1)
	e, stays := openEdge(t, addrs), openEdge(t, addrs)
	alice := fresh("alice")
	d := e.dial(alice)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Error(err)
	}
	if code := d.awaitClose(); code != closeDraining {
		t.Errorf("closed with %d", code)
	}
	if err := e.Close(ctx); err != nil {
		t.Error(err)
	}
	stays.dial(alice)
}

func TestChatStream(t *testing.T) {
	addrs := startCluster(t, 1)
	one, two := openEdge(t, addrs), openEdge(t, addrs)
	alice, bob := fresh("alice"), fresh("bob")
	id, other := one.group(alice, bob), one.group(alice, bob)
	for range 5 {
		one.post(alice, id, "x")
	}
	b := two.dialPath(bob, "/chats/"+id+"/stream?cursor=3")
	live := two.dialPath(bob, "/chats/"+id+"/stream")
	first := b.await("a message", func(map[string]any) bool { return true })
	if first["type"] != nil || number(first["sequenceNumber"]) != 3 || first["chatId"] != id || first["clientMessageId"] == nil {
		t.Errorf("frame %v", first)
	}
	b.awaitSeqs(id, 4, 5)
	one.post(alice, other, "x")
	one.post(alice, id, "x")
	b.awaitSeqs(id, 6, 6)
	live.awaitSeqs(id, 6, 6)
	b.quiet("a message of another chat", func(m map[string]any) bool { return m["chatId"] == other })
	for query, status := range map[string]int{
		"?cursor=0": 400, "?cursor=-1": 400, "?cursor=8": 400, "?cursor=x": 400, "?cursor=9223372036854775808": 400, "?cursor=1.5": 400,
	} {
		if _, got := one.tryDial("/chats/"+id+"/stream"+query, http.Header{"Authorization": {"Bearer user:" + bob}}); got != status {
			t.Errorf("%s: %d", query, got)
		}
	}
	for _, path := range []string{"/chats/" + id + "/stream", "/chats/nochat/stream"} {
		if _, got := one.tryDial(path, http.Header{"Authorization": {"Bearer user:eve"}}); got != 404 {
			t.Errorf("%s: %d", path, got)
		}
	}
	one.must(alice, "POST", "/chats/"+id+"/members", `{"remove":["`+bob+`"]}`, 200)
	if code := b.awaitClose(); code != closePolicy {
		t.Errorf("a former member's stream ends with %d", code)
	}
}
