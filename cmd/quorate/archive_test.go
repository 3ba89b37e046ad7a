package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// TestArchive_Tools archives, and looks at what came of it with each of the commands.
func TestArchive_Tools(t *testing.T) {
	dir := t.TempDir()
	url := "file://" + dir
	store, err := openArchive(url)
	if err != nil {
		t.Fatal(err)
	}
	c := sequencertest.Start(t, 1, 2, func(_ int, cfg *sequencer.Config) {
		cfg.Archive, cfg.ArchiveAfter, cfg.FeedRetention, cfg.ArchiveEvery = store, time.Millisecond, time.Millisecond, time.Hour
	})
	client, chats := c.Client(), sequencertest.Names("chat", 8)
	sequencertest.MakeChats(t, client, []string{"ann", "bob"}, chats...)
	tool := func(args ...string) (code int, stdout string) {
		t.Helper()
		code, stdout, _ = quorate(t, nil, append(append([]string{"archive"}, args...), "--resp-addr", c.Addrs()[0], "--archive", url, "-o", "json")...)
		return code, stdout
	}
	say := func(n int) {
		for _, chat := range chats {
			for i := range 5 {
				q := wire.AppendRequest{ChatID: chat, SenderID: "ann", ClientMessageID: fmt.Sprint(n, "-", i), Text: "text"}
				if _, err := client.Append(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(2 * time.Millisecond) // so that they are older than the window
	}
	c.Eventually("a first round", func() bool { code, _ := tool("run"); return code == 0 })
	for n := range 2 {
		say(n)
		if code, out := tool("run"); code != 0 {
			t.Fatalf("run: %d %s", code, out)
		}
	}

	var objects []segmentLine
	code, out := tool("ls")
	if err := json.Unmarshal([]byte(out), &objects); err != nil || code != 0 || len(objects) != 4 {
		t.Fatalf("ls: %d, %v, %s", code, err, out)
	}
	messages := int64(0)
	for _, o := range objects {
		messages += o.Messages
		code, out := tool("cat", o.Object)
		if lines := strings.Count(out, "\n"); code != 0 || lines != int(o.Messages) || !strings.Contains(out, `"messageId":"chat-`) {
			t.Errorf("cat %s: %d, %d lines, want %d", o.Object, code, lines, o.Messages)
		}
	}
	if messages != 8*9 { // the last of each chat stays hot
		t.Errorf("%d messages are archived", messages)
	}
	if code, out := tool("verify"); code != 0 || !strings.Contains(out, `"objects": 4`) {
		t.Errorf("verify: %d, %s", code, out)
	}
	var rebuilt comparison
	code, out = tool("rebuild")
	if err := json.Unmarshal([]byte(out), &rebuilt); err != nil || code != 0 || rebuilt.Lines != 16 || rebuilt.Equal != 16 || len(rebuilt.Index) != 16 {
		t.Errorf("rebuild: %d, %v, %s", code, err, out)
	}

	path := filepath.Join(dir, objects[0].Object)
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)/3] ^= 1
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	group := strconv.Itoa(objects[0].Group)
	if code, out := tool("verify", group); code == 0 || !strings.Contains(out, objects[0].Object) {
		t.Errorf("verify of a broken object: %d, %s", code, out)
	}
	if code, out := tool("rebuild", group); code == 0 || !strings.Contains(out, `"missing"`) {
		t.Errorf("rebuild without an object: %d, %s", code, out)
	}
	for _, args := range [][]string{{"cat", "x"}, {"ls", "7"}, {"verify", "first"}} {
		if code, _ := tool(args...); code == 0 {
			t.Errorf("%q was taken", args)
		}
	}
}
