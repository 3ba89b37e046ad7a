package delivery

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestREST_ChatsAndMessages(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob, carol := fresh("alice"), fresh("bob"), fresh("carol")
	a := e.must(alice, "POST", "/chats", `{"type":"group","members":["`+bob+`"],"name":"T\u00e9a \"x\""}`, 201)
	chat := a.json()
	id := chat["chatId"].(string)
	if chat["type"] != "group" || chat["name"] != `Téa "x"` || number(chat["lastSeq"]) != 0 || len(chat["members"].([]any)) != 2 {
		t.Errorf("created %v", chat)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", chat["createdAt"].(string)); err != nil {
		t.Error(err)
	}
	sent := e.must(alice, "POST", "/chats/"+id+"/messages", `{"text":"hi\n\u0001","clientMessageId":"m1","seen":41}`, 201)
	m := sent.json()
	if m["messageId"] != id+":1" || m["chatId"] != id || m["senderId"] != alice || m["text"] != "hi\n\x01" ||
		m["clientMessageId"] != "m1" || number(m["sequenceNumber"]) != 1 || number(m["lamport"]) != 42 || m["status"] != "sent" {
		t.Errorf("sent %v", m)
	}
	again := e.must(alice, "POST", "/chats/"+id+"/messages", `{"text":"hi\n\u0001","clientMessageId":"m1"}`, 200)
	if again.body != sent.body || again.header.Get("Idempotency-Replayed") != "true" || sent.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("again: %v %s", again.header, again.body)
	}
	if a := e.call(alice, "POST", "/chats/"+id+"/messages", `{"text":"other","clientMessageId":"m1"}`); a.status != 409 || a.code() != "conflict" {
		t.Errorf("other text: %d %s", a.status, a.body)
	}
	e.post(bob, id, "two")
	page := e.must(bob, "GET", "/chats/"+id+"/messages?limit=1", "", 200).json()
	if len(page["messages"].([]any)) != 1 || number(page["nextCursor"]) != 2 {
		t.Errorf("page %v", page)
	}
	page = e.must(bob, "GET", "/chats/"+id+"/messages?cursor=2", "", 200).json()
	first := page["messages"].([]any)[0].(map[string]any)
	if number(first["sequenceNumber"]) != 2 || page["nextCursor"] != nil || first["readAt"] != nil || first["deliveredAt"] != nil {
		t.Errorf("page %v", page)
	}
	page = e.must(bob, "GET", "/chats/"+id+"/messages?before=3&limit=1", "", 200).json()
	if number(page["messages"].([]any)[0].(map[string]any)["sequenceNumber"]) != 2 || number(page["nextCursor"]) != 2 {
		t.Errorf("before: %v", page)
	}
	// Strangers see nothing, and the same nothing as where there is none.
	foreign := e.call(carol, "GET", "/chats/"+id, "")
	missing := e.call(carol, "GET", "/chats/"+fresh("none"), "")
	if foreign.status != 404 || foreign.body != missing.body {
		t.Errorf("foreign %d %s, missing %d %s", foreign.status, foreign.body, missing.status, missing.body)
	}
}

func TestREST_Receipts(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob, carol := fresh("alice"), fresh("bob"), fresh("carol")
	id := e.group(alice, bob, carol)
	e.post(alice, id, "one")
	e.post(alice, id, "two")
	if a := e.must(bob, "POST", "/messages/"+id+":1/read", "", 200).json(); a["readAt"] == nil {
		t.Errorf("read: %v", a)
	}
	for _, user := range []string{alice, bob} {
		list := e.must(user, "GET", "/messages/"+id+"%3A1/receipts", "", 200).json()["receipts"].([]any)
		got := map[string]bool{}
		for _, r := range list {
			m := r.(map[string]any)
			got[m["userId"].(string)] = m["readAt"] != nil && m["deliveredAt"] != nil
		}
		if len(got) != 2 || !got[bob] || got[carol] {
			t.Errorf("receipts for %s: %v", user, list)
		}
	}
	times := func() (delivered, read any) {
		m := e.must(alice, "GET", "/chats/"+id+"/messages?limit=1", "", 200).json()["messages"].([]any)[0].(map[string]any)
		return m["deliveredAt"], m["readAt"]
	}
	if d, r := times(); d != nil || r != nil {
		t.Errorf("one of two has read: %v, %v", d, r)
	}
	e.must(carol, "POST", "/messages/"+id+":2/read", "", 200)
	if d, r := times(); d == nil || r == nil {
		t.Errorf("both have read: %v, %v", d, r)
	}
	for path, status := range map[string]int{
		"/messages/" + id + ":3/read": 404, "/messages/" + id + ":0/read": 400, "/messages/" + id + "/read": 400,
		"/messages/" + id + ":01/read": 400, "/messages/" + id + ":-1/read": 400, "/messages/x:9223372036854775808/read": 400,
		"/messages/nochat:1/read": 404,
	} {
		if a := e.call(bob, "POST", path, ""); a.status != status {
			t.Errorf("%s: %d %s, want %d", path, a.status, a.body, status)
		}
	}
	if a := e.call(bob, "GET", "/messages/"+id+":3/receipts", ""); a.status != 404 {
		t.Errorf("receipts of no message: %d %s", a.status, a.body)
	}
	if a := e.call("dave", "GET", "/messages/"+id+":1/receipts", ""); a.status != 404 {
		t.Errorf("receipts for a stranger: %d %s", a.status, a.body)
	}
}

func TestREST_DirectChats(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob := fresh("alice"), fresh("bob")
	direct := func(user, other, more string) answer {
		return e.call(user, "POST", "/chats", `{"type":"direct","members":["`+other+`"]`+more+`}`)
	}
	a := direct(alice, bob, "")
	b := direct(bob, alice, "")
	if a.status != 201 || b.status != 200 || a.json()["chatId"] != b.json()["chatId"] {
		t.Fatalf("%d %s, %d %s", a.status, a.body, b.status, b.body)
	}
	id := a.json()["chatId"].(string)
	if c := direct(alice, bob, `,"chatId":"`+id+`"`); c.status != 200 {
		t.Errorf("by its own id: %d %s", c.status, c.body)
	}
	if c := direct(alice, bob, `,"chatId":"`+fresh("other")+`"`); c.status != 200 || c.json()["chatId"] != id {
		t.Errorf("the pair has a chat already: %d %s", c.status, c.body)
	}
	if c := direct(alice, alice, ""); c.status != 400 {
		t.Errorf("with oneself: %d %s", c.status, c.body)
	}
	if c := e.call(alice, "POST", "/chats", `{"type":"direct","members":["x","y"]}`); c.status != 400 {
		t.Errorf("three: %d %s", c.status, c.body)
	}
	if c := e.call(alice, "POST", "/chats/"+id+"/members", `{"add":["eve"]}`); c.status != 409 {
		t.Errorf("a third member: %d %s", c.status, c.body)
	}
	// The default id is taken by somebody else's group: the pair gets another.
	carol, dave := fresh("carol"), fresh("dave")
	taken := pairChatID(carol, dave)
	e.must(alice, "POST", "/chats", `{"type":"group","chatId":"`+taken+`"}`, 201)
	if c := direct(carol, dave, `,"chatId":"`+taken+`"`); c.status != 409 {
		t.Errorf("a given id that is taken: %d %s", c.status, c.body)
	}
	c, d := direct(carol, dave, ""), direct(dave, carol, "")
	if c.status != 201 || d.status != 200 || c.json()["chatId"] != d.json()["chatId"] || c.json()["chatId"] == taken {
		t.Errorf("%d %s, %d %s", c.status, c.body, d.status, d.body)
	}
}

func TestREST_DirectChatsAtTheSameTime(t *testing.T) {
	addrs := startCluster(t, 1)
	one, two := openEdge(t, addrs), openEdge(t, addrs)
	for range 20 {
		alice, bob := fresh("alice"), fresh("bob")
		answers := make(chan answer, 8)
		for i := range 4 {
			go func() {
				answers <- []*edge{one, two}[i%2].call(alice, "POST", "/chats", `{"type":"direct","members":["`+bob+`"]}`)
			}()
			go func() {
				answers <- []*edge{two, one}[i%2].call(bob, "POST", "/chats", `{"type":"direct","members":["`+alice+`"]}`)
			}()
		}
		ids := map[any]int{}
		for range 8 {
			a := <-answers
			if a.status != 200 && a.status != 201 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			ids[a.json()["chatId"]]++
		}
		if len(ids) != 1 {
			t.Fatalf("the pair has %v", ids)
		}
	}
}

func TestREST_Members(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob, carol := fresh("alice"), fresh("bob"), fresh("carol")
	id := e.group(alice, bob)
	e.post(alice, id, "before")
	got := e.must(bob, "POST", "/chats/"+id+"/members", `{"add":["`+carol+`"]}`, 200).json()
	if len(got["members"].([]any)) != 3 {
		t.Errorf("after add: %v", got)
	}
	page := e.must(carol, "GET", "/chats/"+id+"/messages", "", 200).json()
	if len(page["messages"].([]any)) != 0 {
		t.Errorf("one who joins reads %v", page)
	}
	e.must(alice, "POST", "/chats/"+id+"/members", `{"remove":["`+bob+`"]}`, 200)
	for _, path := range []string{"/chats/" + id, "/chats/" + id + "/messages"} {
		if a := e.call(bob, "GET", path, ""); a.status != 404 || a.code() != "not_found" {
			t.Errorf("a former member: %s: %d %s", path, a.status, a.body)
		}
	}
	if a := e.call(bob, "POST", "/chats/"+id+"/messages", `{"text":"x","clientMessageId":"1"}`); a.status != 404 {
		t.Errorf("a former member sends: %d %s", a.status, a.body)
	}
	if a := e.call(bob, "POST", "/chats/"+id+"/members", `{"add":["`+bob+`"]}`); a.status != 404 {
		t.Errorf("a former member adds himself: %d %s", a.status, a.body)
	}
	many := make([]string, 257)
	for i := range many {
		many[i] = fresh("u")
	}
	list, _ := json.Marshal(many)
	for path, body := range map[string]string{
		"/chats/" + id + "/members": `{"add":` + string(list) + `}`, "/chats": `{"type":"group","members":` + string(list) + `}`,
	} {
		if a := e.call(alice, "POST", path, body); a.status != 400 || a.code() != "bad_request" {
			t.Errorf("over 256 at %s: %d %s", path, a.status, a.body)
		}
	}
	list, _ = json.Marshal(many[:255])
	if a := e.call(alice, "POST", "/chats/"+id+"/members", `{"add":`+string(list)+`}`); a.status != 400 {
		t.Errorf("257 in all: %d %s", a.status, a.body)
	}
	list, _ = json.Marshal(many[:254])
	if a := e.call(alice, "POST", "/chats/"+id+"/members", `{"add":`+string(list)+`}`); a.status != 200 {
		t.Errorf("256 in all: %d %s", a.status, a.body)
	}
	open := e.must(alice, "POST", "/chats", `{"type":"group","history":"start"}`, 201).json()["chatId"].(string)
	e.post(alice, open, "old")
	e.must(alice, "POST", "/chats/"+open+"/members", `{"add":["`+carol+`"]}`, 200)
	if page := e.must(carol, "GET", "/chats/"+open+"/messages", "", 200).json(); len(page["messages"].([]any)) != 1 {
		t.Errorf("history from the start: %v", page)
	}
}

func TestREST_ChatList(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob := fresh("alice"), fresh("bob")
	want := map[string]bool{}
	for range 5 {
		want[e.group(alice, bob)] = true
	}
	var one string
	for id := range want {
		one = id
	}
	e.post(alice, one, "first")
	e.post(alice, one, "second")
	e.must(bob, "POST", "/messages/"+one+":1/read", "", 200)
	list := func() map[string]map[string]any {
		got := map[string]map[string]any{}
		for cursor := ""; ; {
			page := e.must(bob, "GET", "/chats?limit=2&cursor="+cursor, "", 200).json()
			for _, c := range page["chats"].([]any) {
				chat := c.(map[string]any)
				if got[chat["chatId"].(string)] != nil {
					t.Fatalf("%v comes twice", chat)
				}
				got[chat["chatId"].(string)] = chat
			}
			if page["nextCursor"] == nil {
				return got
			}
			cursor = page["nextCursor"].(string)
		}
	}
	eventually(t, "all chats in the list", func() bool { return len(list()) == 5 })
	chat := list()[one]
	if number(chat["readUpTo"]) != 1 || number(chat["unread"]) != 1 || number(chat["lastSeq"]) != 2 ||
		chat["lastMessage"].(map[string]any)["text"] != "second" {
		t.Errorf("line %v", chat)
	}
	for id := range want {
		if id != one && list()[id]["lastMessage"] != nil {
			t.Errorf("an empty chat has a last message: %v", list()[id])
		}
	}
	for _, cursor := range []string{"x", "41", "-1", "YQ", "%00", "YSAg", strings.Repeat("A", 200)} {
		if a := e.call(bob, "GET", "/chats?cursor="+cursor, ""); a.status != 400 {
			t.Errorf("cursor %q: %d %s", cursor, a.status, a.body)
		}
	}
}

// TestREST_HostileInput has one row for each kind of bad request, with the one answer it may get.
func TestREST_HostileInput(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice, bob, eve := fresh("alice"), fresh("bob"), fresh("eve")
	id := e.group(alice, bob)
	e.post(alice, id, "the only one")
	at := "/chats/" + id
	send, big := at+"/messages", strings.Repeat("x", 16<<10+1)
	text := func(s string) string { return `{"text":` + s + `,"clientMessageId":"c1"}` }
	rows := []struct {
		name, user, method, path, body string
		status                         int
		code                           string
	}{
		{"not JSON", alice, "POST", send, `text=hi`, 400, "bad_request"},
		{"empty body", alice, "POST", send, ``, 400, "bad_request"},
		{"array", alice, "POST", send, `[]`, 400, "bad_request"},
		{"text is a number", alice, "POST", send, text("1"), 400, "bad_request"},
		{"text is null", alice, "POST", send, text("null"), 400, "bad_request"},
		{"text is empty", alice, "POST", send, text(`""`), 400, "bad_request"},
		{"text with NUL", alice, "POST", send, text(`"a\u0000"`), 400, "bad_request"},
		{"text with a raw NUL", alice, "POST", send, text("\"a\x00\""), 400, "bad_request"},
		{"broken UTF-8", alice, "POST", send, text("\"\xff\xfe\""), 400, "bad_request"},
		{"lone surrogate", alice, "POST", send, text(`"\ud800"`), 400, "bad_request"},
		{"text too large", alice, "POST", send, text(`"` + big + `"`), 413, "too_large"},
		{"body too large", alice, "POST", send, text(`"` + strings.Repeat("x", 200<<10) + `"`), 413, "too_large"},
		{"deep", alice, "POST", send, `{"x":` + strings.Repeat("[", 60_000), 400, "bad_request"},
		{"key twice", alice, "POST", send, `{"text":"a","text":"b","clientMessageId":"c1"}`, 400, "bad_request"},
		{"no clientMessageId", alice, "POST", send, `{"text":"a"}`, 400, "bad_request"},
		{"clientMessageId empty", alice, "POST", send, `{"text":"a","clientMessageId":""}`, 400, "bad_request"},
		{"clientMessageId long", alice, "POST", send, `{"text":"a","clientMessageId":"` + big[:65] + `"}`, 400, "bad_request"},
		{"clientMessageId with NUL", alice, "POST", send, `{"text":"a","clientMessageId":"\u0000"}`, 400, "bad_request"},
		{"clientMessageId is a number", alice, "POST", send, `{"text":"a","clientMessageId":7}`, 400, "bad_request"},
		{"seen is negative", alice, "POST", send, `{"text":"a","clientMessageId":"c1","seen":-1}`, 400, "bad_request"},
		{"seen is 2^63", alice, "POST", send, `{"text":"a","clientMessageId":"c1","seen":9223372036854775808}`, 400, "bad_request"},
		{"a stranger sends", eve, "POST", send, text(`"a"`), 404, "not_found"},
		{"to no chat", alice, "POST", "/chats/nochat/messages", text(`"a"`), 404, "not_found"},
		{"a stranger reads", eve, "GET", send, "", 404, "not_found"},
		{"a stranger adds himself", eve, "POST", at + "/members", `{"add":["` + eve + `"]}`, 404, "not_found"},
		{"a stranger marks", eve, "POST", "/messages/" + id + ":1/read", "", 404, "not_found"},
		{"cursor 0", alice, "GET", send + "?cursor=0", "", 400, "bad_request"},
		{"cursor -1", alice, "GET", send + "?cursor=-1", "", 400, "bad_request"},
		{"cursor 1.5", alice, "GET", send + "?cursor=1.5", "", 400, "bad_request"},
		{"cursor 2^63", alice, "GET", send + "?cursor=9223372036854775808", "", 400, "bad_request"},
		{"cursor 2^53", alice, "GET", send + "?cursor=9007199254740992", "", 400, "bad_request"},
		{"cursor empty", alice, "GET", send + "?cursor=", "", 400, "bad_request"},
		{"cursor twice", alice, "GET", send + "?cursor=1&cursor=2", "", 400, "bad_request"},
		{"cursor and before", alice, "GET", send + "?cursor=1&before=2", "", 400, "bad_request"},
		{"limit 0", alice, "GET", send + "?limit=0", "", 400, "bad_request"},
		{"limit -1", alice, "GET", send + "?limit=-1", "", 400, "bad_request"},
		{"limit 501", alice, "GET", send + "?limit=501", "", 400, "bad_request"},
		{"limit 1e9", alice, "GET", send + "?limit=1e9", "", 400, "bad_request"},
		{"bad query", alice, "GET", send + "?limit=%zz", "", 400, "bad_request"},
		{"chatId with a space", alice, "GET", "/chats/a%20b", "", 400, "bad_request"},
		{"chatId with a slash", alice, "GET", "/chats/a%2fb", "", 400, "bad_request"},
		{"chatId with NUL", alice, "GET", "/chats/a%00b", "", 400, "bad_request"},
		{"chatId too long", alice, "GET", "/chats/" + big[:65], "", 400, "bad_request"},
		{"chatId dots", alice, "GET", "/chats/%2e%2e", "", 400, "bad_request"},
		{"path upwards", alice, "GET", "/chats/../../x", "", 404, "not_found"},
		{"no type", alice, "POST", "/chats", `{}`, 400, "bad_request"},
		{"unknown type", alice, "POST", "/chats", `{"type":"channel"}`, 400, "bad_request"},
		{"members is a string", alice, "POST", "/chats", `{"type":"group","members":"bob"}`, 400, "bad_request"},
		{"a bad member", alice, "POST", "/chats", `{"type":"group","members":["a b"]}`, 400, "bad_request"},
		{"a bad chatId", alice, "POST", "/chats", `{"type":"group","chatId":"a/b"}`, 400, "bad_request"},
		{"a chatId that is taken", eve, "POST", "/chats", `{"type":"group","chatId":"` + id + `"}`, 409, "conflict"},
		{"history of another kind", alice, "POST", "/chats", `{"type":"group","history":"all"}`, 400, "bad_request"},
		{"name with NUL", alice, "POST", "/chats", `{"type":"group","name":"\u0000"}`, 400, "bad_request"},
		{"no change of members", alice, "POST", at + "/members", `{}`, 400, "bad_request"},
		{"added and removed", alice, "POST", at + "/members", `{"add":["x"],"remove":["x"]}`, 400, "bad_request"},
		{"unknown path", alice, "GET", "/nothing", "", 404, "not_found"},
		{"a device without a platform", alice, "PUT", "/me/devices/d1", `{}`, 400, "bad_request"},
		{"presence is not served", alice, "GET", "/users/bob/presence", "", 404, "not_found"},
		{"method", alice, "DELETE", "/chats", "", 405, "bad_request"},
		{"OPTIONS", alice, "OPTIONS", "/chats", "", 405, "bad_request"},
		{"no token", "", "GET", "/chats", "", 401, "unauthenticated"},
		{"bad user", "a b", "GET", "/chats", "", 401, "unauthenticated"},
	}
	for _, row := range rows {
		a := e.call(row.user, row.method, row.path, row.body)
		if a.status != row.status || a.code() != row.code {
			t.Errorf("%s: %d %s, want %d %s", row.name, a.status, a.body, row.status, row.code)
		}
		if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
			t.Errorf("%s: the answer is %s", row.name, kind)
		}
		if row.status == 405 && a.header.Get("Allow") != "GET, POST" {
			t.Errorf("%s: Allow is %q", row.name, a.header.Get("Allow"))
		}
	}
	if a := e.call(alice, "POST", send, text(`"a"`), "Content-Encoding", "gzip"); a.status != 415 {
		t.Errorf("gzip: %d %s", a.status, a.body)
	}
	if a := e.call(alice, "POST", send, text(`"a"`), "Content-Type", "text/plain"); a.status != 415 {
		t.Errorf("text/plain: %d %s", a.status, a.body)
	}
	page := e.must(alice, "GET", send, "", 200).json()
	if n := len(page["messages"].([]any)); n != 1 {
		t.Errorf("%d messages are stored, want 1", n)
	}
}

func TestREST_Tokens(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), func(c *Config) { c.NoAuth = false })
	var bodies []string
	for name, token := range badTokens(t, time.Now()) {
		if len(token) > 12<<10 {
			continue // over the limit of the header
		}
		a := e.call("", "GET", "/chats", "", "Authorization", "Bearer "+token)
		if a.status != 401 || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		bodies = append(bodies, a.body)
	}
	if slices.Sort(bodies); len(slices.Compact(bodies)) != 1 {
		t.Errorf("the answers differ: %q", bodies)
	}
	token, err := SignToken(testSecret, "alice", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if a := e.call("", "GET", "/chats", "", "Authorization", "Bearer "+token); a.status != 200 {
		t.Errorf("a good token: %d %s", a.status, a.body)
	}
	if a := e.call("", "GET", "/chats?token="+token, ""); a.status != 401 {
		t.Errorf("a token in the query: %d %s", a.status, a.body)
	}
}

func TestREST_RateLimit(t *testing.T) {
	now := time.Now()
	e := openEdge(t, startCluster(t, 1), func(c *Config) {
		c.Limits.SendsPerSecond, c.Limits.SendBurst = 20, 50
		c.Clock = func() time.Time { return now } // stands still
	})
	alice := fresh("alice")
	id := e.group(alice)
	for range 50 {
		e.post(alice, id, "x")
	}
	a := e.call(alice, "POST", "/chats/"+id+"/messages", `{"text":"x","clientMessageId":"over"}`)
	if a.status != 429 || a.code() != "rate_limited" || number(a.json()["retryAfterMs"]) != 50 || a.header.Get("Retry-After") != "1" {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	if page := e.must(alice, "GET", "/chats/"+id+"/messages?cursor=51", "", 200).json(); len(page["messages"].([]any)) != 0 {
		t.Errorf("stored: %v", page)
	}
}

func TestREST_PageEndsEarly(t *testing.T) {
	e := openEdge(t, startCluster(t, 1), func(c *Config) { c.Limits.PageBytes = 40 << 10 })
	alice := fresh("alice")
	id := e.group(alice)
	for range 7 {
		e.post(alice, id, strings.Repeat("x", 16<<10))
	}
	read := func(query string) (seqs []int64) {
		for q := query; ; {
			page := e.must(alice, "GET", "/chats/"+id+"/messages?limit=5&"+q, "", 200).json()
			for _, m := range page["messages"].([]any) {
				seqs = append(seqs, number(m.(map[string]any)["sequenceNumber"]))
			}
			if page["nextCursor"] == nil {
				return seqs
			}
			q = fmt.Sprintf("%s=%d", strings.SplitN(query, "=", 2)[0], number(page["nextCursor"]))
		}
	}
	if got := read("cursor=1"); !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("forwards: %v", got)
	}
	if got := read("before=8"); !slices.Equal(got, []int64{6, 7, 4, 5, 2, 3, 1}) {
		t.Errorf("backwards: %v", got)
	}
}

func TestREST_Health(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	for _, path := range []string{"/healthz", "/readyz"} {
		e.must("", "GET", path, "", 200)
	}
	lost, err := Open(Config{Addr: "127.0.0.1:0", Sequencers: []string{unreachable(t)}, NoAuth: true, Logger: testLogger()})
	if err != nil {
		t.Fatal(err)
	}
	defer lost.Close(t.Context())
	alone := &edge{Server: lost, t: t, http: e.http}
	if a := alone.call("", "GET", "/healthz", ""); a.status != 200 {
		t.Errorf("healthz without a cluster: %d %s", a.status, a.body)
	}
	if a := alone.call("", "GET", "/readyz", ""); a.status != 503 || !strings.Contains(a.body, "not been found") {
		t.Errorf("readyz without a cluster: %d %s", a.status, a.body)
	}
	if _, status := alone.tryDial("/stream", http.Header{}); status != 503 {
		t.Errorf("a stream without a cluster: %d", status)
	}
}

func TestConfig_NoAuthNeedsLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0"} {
		if s, err := Open(Config{Addr: addr, Sequencers: []string{"127.0.0.1:1"}, NoAuth: true}); err == nil {
			t.Errorf("%s was served without tokens", addr)
			_ = s.Close(t.Context())
		}
	}
}
