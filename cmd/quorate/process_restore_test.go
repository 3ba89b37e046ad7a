package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

const restoreChats = 6

// restoreRig is a cluster of real processes with an archive, and a store for backups.
type restoreRig struct {
	*cluster
	dir, archive, backups string // the last two are URLs
	ops                   []string
	rafts                 []string
}

func startRestoreRig(t *testing.T) *restoreRig {
	t.Helper()
	dir := t.TempDir()
	r := &restoreRig{
		cluster: &cluster{binary: buildBinary(t), secret: []byte("a secret for this test alone")},
		dir:     dir, archive: "file://" + filepath.Join(dir, "archive"), backups: "file://" + filepath.Join(dir, "backups"),
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, r.secret, 0o600); err != nil {
		t.Fatal(err)
	}
	addrs := freeAddrs(t, 11)
	r.rafts, r.resp, r.ops = addrs[:3], addrs[3:6], addrs[6:9]
	var bootstrap []string
	for i := range 3 {
		bootstrap = append(bootstrap, fmt.Sprintf("n%d=%s", i+1, r.rafts[i]))
	}
	for i := range 3 {
		r.nodes = append(r.nodes, r.node(t, fmt.Sprintf("n%d", i+1), i, strings.Join(bootstrap, ",")))
	}
	r.urls = []string{"http://" + addrs[9]}
	r.edges = []*process{newProcess(t, "e1", dir, r.binary, "delivery", "--sequencers", strings.Join(r.resp, ","), "--addr", addrs[9],
		"--ops-addr", addrs[10], "--jwt-secret-file", secret, "--archive", r.archive)}
	for _, p := range append(r.nodes, r.edges...) {
		p.launch(t)
	}
	for _, p := range append(r.nodes, r.edges...) {
		p.awaitReady(t, startTime)
	}
	return r
}

// node is a sequencer at the i-th addresses.
func (r *restoreRig) node(t *testing.T, name string, i int, bootstrap string) *process {
	return newProcess(t, name, r.dir, r.binary, "sequencer", "--node-id", name, "--data", filepath.Join(r.dir, name), "--groups", "2",
		"--raft-addr", r.rafts[i], "--resp-addr", r.resp[i], "--ops-addr", r.ops[i], "--bootstrap", bootstrap, "--archive", r.archive,
		"--archive-after", "1ms", "--feed-retention", "1ms", "--archive-every", "1h")
}

// tool runs a command, which must do what it is to.
func (r *restoreRig) tool(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := quorate(t, nil, args...)
	if code != exitOK {
		t.Fatalf("quorate %s: %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// said are acknowledged messages: text by chat and number.
type said struct {
	mu  sync.Mutex
	all map[string]map[uint64]string
	n   int
}

func (s *said) now() (int, map[string]map[uint64]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]map[uint64]string{}
	for chat, log := range s.all {
		all[chat] = maps.Clone(log)
	}
	return s.n, all
}

// say sends one message by REST and notes its number.
func (r *restoreRig) say(t *testing.T, s *said, client *edgeClient, chat, id string) (uint64, error) {
	var got struct {
		SequenceNumber uint64 `json:"sequenceNumber"`
	}
	body := map[string]any{"clientMessageId": id, "text": "text of " + id}
	if err := client.call(t.Context(), "POST", "/chats/"+chat+"/messages", body, &got); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[chat] == nil {
		s.all[chat] = map[uint64]string{}
	}
	s.all[chat][got.SequenceNumber] = "text of " + id
	s.n++
	return got.SequenceNumber, nil
}

// log reads a chat whole.
func (r *restoreRig) log(t *testing.T, client *edgeClient, chat string) (log []message) {
	t.Helper()
	for next := uint64(1); next != 0; {
		var page struct {
			Messages []message `json:"messages"`
			Next     *uint64   `json:"nextCursor"`
		}
		if err := client.retry(t.Context(), "GET", fmt.Sprintf("/chats/%s/messages?cursor=%d&limit=100", chat, next), nil, &page); err != nil {
			t.Fatal(err)
		}
		log, next = append(log, page.Messages...), 0
		if page.Next != nil && len(page.Messages) > 0 {
			next = *page.Next
		}
	}
	return log
}

// greet opens a WebSocket and says hello; it gives the welcome.
func (r *restoreRig) greet(t *testing.T, user string, hello map[string]any) (*websocket.Conn, map[string]any, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws"+r.urls[0][len("http"):]+"/stream", &websocket.DialOptions{
		Subprotocols: []string{"quorate.v1"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + r.token(t, user)}},
	})
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(maxFrame)
	hello["type"], hello["deviceId"] = "hello", "d1"
	if err := wsjson.Write(ctx, conn, hello); err != nil {
		return nil, nil, err
	}
	welcome, err := readFrame(ctx, conn, "welcome")
	return conn, welcome, err
}

// readFrame reads until a frame of a type comes.
func readFrame(ctx context.Context, conn *websocket.Conn, kind string) (map[string]any, error) {
	for {
		_, raw, err := conn.Read(ctx)
		if err != nil {
			return nil, err
		}
		var f map[string]any
		if err := json.Unmarshal(raw, &f); err != nil {
			return nil, err
		}
		if f["type"] == kind {
			return f, nil
		}
	}
}

// TestProcesses_BackedUpUnderLoadDestroyedAndRestored: what was acknowledged before the backup is there again, in a cluster of another size, behind
// a delivery node that lived on; numbers go on; clients learn of it by the epoch and resume.
func TestProcesses_BackedUpUnderLoadDestroyedAndRestored(t *testing.T) {
	t.Parallel()
	r := startRestoreRig(t)
	talked := &said{all: map[string]map[uint64]string{}}
	var chats []string
	ann := r.as(t, 0, "ann")
	for i := range restoreChats {
		chat := fmt.Sprintf("chat-%d", i)
		chats = append(chats, chat)
		body := map[string]any{"type": "group", "chatId": chat, "members": []string{"bob"}}
		if err := ann.retry(t.Context(), "POST", "/chats", body, &struct{}{}); err != nil {
			t.Fatal(err)
		}
		for n := range 8 {
			if _, err := r.say(t, talked, ann, chat, fmt.Sprintf("early-%d", n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	await(t, healTime, "the archive", func() bool { // the cluster comes to its newest format a moment after it began
		code, _, _ := quorate(t, nil, "archive", "run", "--resp-addr", r.resp[0])
		return code == exitOK
	})
	live, welcome, err := r.greet(t, "bob", map[string]any{})
	if err != nil || welcome["epoch"] != 1.0 {
		t.Fatalf("the first welcome: %v, %v", welcome, err)
	}

	// Load, and a backup in the midst of it.
	talking, stop := context.WithCancel(t.Context())
	var talkers sync.WaitGroup
	for i, chat := range chats {
		talkers.Go(func() {
			client := r.as(t, 0, []string{"ann", "bob"}[i%2])
			for n := 0; talking.Err() == nil; n++ {
				_, _ = r.say(t, talked, client, chat, fmt.Sprintf("load-%d-%d", i, n)) // what is not acknowledged does not count
				_ = pause(talking, 60*time.Millisecond)
			}
		})
	}
	await(t, healTime, "some talk", func() bool { n, _ := talked.now(); return n > restoreChats*12 })
	before, must := talked.now()
	var made backupView
	if err := json.Unmarshal([]byte(r.tool(t, "backup", "--to", r.backups, "--resp-addr", r.resp[1], "-o", "json")), &made); err != nil {
		t.Fatal(err)
	}
	await(t, healTime, "talk after the backup", func() bool { n, _ := talked.now(); return n > before+restoreChats*5 })
	stop()
	talkers.Wait()
	_, all := talked.now()
	if out := r.tool(t, "backup", "verify", made.Name, "--to", r.backups); !strings.Contains(out, "is as it was written") {
		t.Errorf("verify: %s", out)
	}

	t.Log("the cluster is destroyed, and restored on one node")
	for i, p := range r.nodes {
		p.kill()
		if err := os.RemoveAll(filepath.Join(r.dir, fmt.Sprintf("n%d", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	r.tool(t, "restore", made.Name, "--from", r.backups, "--data", filepath.Join(r.dir, "r1"), "--archive", r.archive)
	restored := r.node(t, "r1", 0, "r1="+r.rafts[0])
	restored.start(t, startTime)

	ctx, cancel := context.WithTimeout(t.Context(), healTime)
	defer cancel()
	if f, err := readFrame(ctx, live, "never"); err == nil {
		t.Errorf("the old session got %v", f)
	} else if code := websocket.CloseStatus(err); code < 4000 || code > 4499 {
		t.Errorf("the old session ended with %v: it is to come back and resume", err)
	}
	cursors := map[string]any{}
	for chat, log := range all {
		cursors[chat] = len(log) + 1 // all of them were shown
	}
	var conn *websocket.Conn
	await(t, healTime, "a welcome of the new epoch", func() bool {
		conn, welcome, err = r.greet(t, "bob", map[string]any{"epoch": 1, "cursors": cursors})
		return err == nil && welcome["epoch"] != 1.0
	})

	heads := map[string]uint64{}
	for _, chat := range chats {
		log := r.log(t, ann, chat)
		for i, m := range log {
			if m.SequenceNumber != uint64(i+1) {
				t.Fatalf("%s: number %d in place %d", chat, m.SequenceNumber, i+1)
			}
		}
		for n, text := range must[chat] {
			if n > uint64(len(log)) || log[n-1].Text != text {
				t.Errorf("%s:%d was acknowledged before the backup and is gone", chat, n)
			}
		}
		heads[chat] = uint64(len(log))
		if len(log) > len(all[chat]) {
			t.Errorf("%s has %d messages, %d were sent", chat, len(log), len(all[chat]))
		}
	}
	// The session's cursors were of the old epoch, so it is sent all that its user's devices have not acknowledged: everything.
	for got := 0; got < int(heads[chats[0]]); {
		f, err := readFrame(ctx, conn, "message")
		if err != nil {
			t.Fatalf("after %d messages of %s: %v", got, chats[0], err)
		}
		if f["chatId"] == chats[0] {
			if got++; f["sequenceNumber"] != float64(got) {
				t.Fatalf("%s: %v instead of %d", chats[0], f["sequenceNumber"], got)
			}
		}
	}
	after := &said{all: map[string]map[uint64]string{}}
	for _, chat := range chats {
		if n, err := r.say(t, after, ann, chat, "after"); err != nil || n != heads[chat]+1 {
			t.Errorf("%s goes on with %d, %v, not with %d", chat, n, err, heads[chat]+1)
		}
	}
	// A client that says nothing of epochs, with a cursor that is beyond the end: it is told so, and resumes at the end.
	naive, _, err := r.greet(t, "ann", map[string]any{"cursors": map[string]any{chats[0]: 1_000_000}})
	if err != nil {
		t.Fatal(err)
	}
	if f, err := readFrame(ctx, naive, "error"); err != nil || f["chatId"] != chats[0] || f["code"] != "bad_request" {
		t.Errorf("a cursor beyond the end: %v, %v", f, err)
	}
	n, err := r.say(t, after, r.as(t, 0, "bob"), chats[0], "live")
	if err != nil {
		t.Fatal(err)
	}
	for {
		f, err := readFrame(ctx, naive, "message")
		if err != nil {
			t.Fatal(err)
		}
		if f["chatId"] == chats[0] {
			if f["sequenceNumber"] != float64(n) {
				t.Errorf("it was sent %v, not %d", f["sequenceNumber"], n)
			}
			break
		}
	}
	if code := r.edges[0].stop(t, 10*time.Second); code != exitOK {
		t.Errorf("the delivery node ended with %d", code)
	}
}
