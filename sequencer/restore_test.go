package sequencer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/backup"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

func dirStore(t testing.TB) (string, archive.Store) {
	t.Helper()
	url := "file://" + t.TempDir()
	store, err := archive.OpenStore(url)
	if err != nil {
		t.Fatal(err)
	}
	return url, store
}

// restoring has every first node begin with a backup.
func restoring(t testing.TB, from archive.Store, name string, more ...func(*sequencer.Config)) sequencertest.Option {
	return func(_ int, cfg *sequencer.Config) {
		if _, err := sequencer.Restore(t.Context(), sequencer.RestoreConfig{From: from, Name: name, Dir: cfg.Dir}); err != nil {
			t.Fatal(err)
		}
		for _, change := range more {
			change(cfg)
		}
	}
}

// acks are appends that were acknowledged: the text, by chat and seq.
type acks struct {
	mu  sync.Mutex
	all map[string]map[wire.Seq]string
}

func (a *acks) add(chat string, seq wire.Seq, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all[chat] == nil {
		a.all[chat] = map[wire.Seq]string{}
	}
	a.all[chat][seq] = text
}

// now copies what is acknowledged so far.
func (a *acks) now() (n int, all map[string]map[wire.Seq]string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all = map[string]map[wire.Seq]string{}
	for chat, log := range a.all {
		all[chat] = maps.Clone(log)
		n += len(log)
	}
	return n, all
}

// talk appends to chats until stop is closed.
func talk(t testing.TB, client *wire.Client, chats []string, senders int, stop <-chan struct{}) (*acks, *sync.WaitGroup) {
	a, done := &acks{all: map[string]map[wire.Seq]string{}}, &sync.WaitGroup{}
	for s := range senders {
		done.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				chat := chats[rand.IntN(len(chats))]
				q := wire.AppendRequest{ChatID: chat, SenderID: "ann", ClientMessageID: fmt.Sprintf("talk-%d-%d", s, n), Text: fmt.Sprintf("%d of %d", n, s)}
				ack, err := client.Append(context.Background(), q)
				if err == nil {
					a.add(chat, ack.Seq, q.Text)
				} else if !wire.Temporary(err) {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	return a, done
}

// TestRestore_OfABackupUnderLoadIntoAnotherSize is the whole of it: what was acknowledged before the backup is there, archived or not, in every
// chat without a hole; numbers go on; lists, settings and retries are as they were; the epoch is another.
func TestRestore_OfABackupUnderLoadIntoAnotherSize(t *testing.T) {
	url, from := dirStore(t)
	_, old := dirStore(t)
	c := sequencertest.Start(t, 3, 4, archiving(old))
	client, chats := c.Client(), sequencertest.Names("chat", 16)
	sequencertest.MakeChats(t, client, []string{"ann", "bob"}, chats...)
	sayAll(t, client, chats, 40)
	archiveAll(t, c, 4)
	c.Operate("CLUSTER", "SET", "fanout", "spread:25")
	stop := make(chan struct{})
	said, talking := talk(t, client, chats, 8, stop)
	c.Eventually("some talk", func() bool { n, _ := said.now(); return n > 200 })

	before, must := said.now()
	name := sequencertest.Backup(t, client, c.Addrs()[0], url)
	c.Eventually("talk after the backup", func() bool { n, _ := said.now(); return n > before+50 })
	close(stop)
	talking.Wait()
	for i := range c.Len() {
		c.Kill(i)
		c.Wipe(i)
	}

	epochs := map[uint64]bool{wire.FirstEpoch: true}
	for _, nodes := range []int{1, 5} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			// The archive of the old cluster is read in the one, the copies of the backup in the other.
			archives := map[int]archive.Store{1: old, 5: from}[nodes]
			c := sequencertest.Start(t, nodes, 8, restoring(t, from, name, func(cfg *sequencer.Config) { archiving(archives)(0, cfg) }))
			client := c.Client()
			if groups, err := client.Groups(t.Context()); err != nil || groups != 4 {
				t.Fatalf("%d groups, %v", groups, err)
			}
			settings, err := client.Settings(t.Context())
			if err != nil || settings["fanout"] != "spread:25" || epochs[wire.EpochOf(settings)] {
				t.Errorf("settings %v, %v; epochs before: %v", settings, err, epochs)
			}
			epochs[wire.EpochOf(settings)] = true
			reader := archive.NewReader(archives, archive.ReaderConfig{})
			for _, chat := range chats {
				log, archived, err := readWhole(t.Context(), client, reader, chat, 100)
				if err != nil {
					t.Fatal(err)
				}
				if archived == 0 && len(log) > 50 {
					t.Errorf("%s: nothing is in the archive", chat)
				}
				for i, m := range log {
					if m.Seq != wire.Seq(i+1) {
						t.Fatalf("%s: message %d is in place %d", chat, m.Seq, i)
					}
				}
				for seq, text := range must[chat] {
					if int(seq) > len(log) || log[seq-1].Text != text {
						t.Errorf("%s:%d was acknowledged before the backup and is gone", chat, seq)
					}
				}
				q := wire.AppendRequest{ChatID: chat, SenderID: "bob", ClientMessageID: "after", Text: "after"}
				if ack, err := client.Append(t.Context(), q); err != nil || ack.Seq != wire.Seq(len(log)+1) {
					t.Errorf("%s goes on with %+v, %v, and not with %d", chat, ack, err, len(log)+1)
				}
				q = wire.AppendRequest{ChatID: chat, SenderID: "ann", ClientMessageID: log[0].ClientMessageID, Text: log[0].Text}
				if ack, err := client.Append(t.Context(), q); err != nil || ack.Seq != 1 || !ack.Replayed {
					t.Errorf("%s: a retry of the first message: %+v, %v", chat, ack, err)
				}
			}
			for _, user := range []string{"ann", "bob"} {
				lists, _, err := client.UserChats(t.Context(), user, "", 100)
				if err != nil || len(lists) != len(chats) {
					t.Errorf("%s has %d chats, %v", user, len(lists), err)
				}
			}
			for g := range wire.GroupID(4) {
				c.Eventually("the outbox is empty", func() bool { return c.Node(c.Leader(g)).Store(g).OutboxPending() == 0 })
			}
			for i := range nodes { // what was restored is gone once it has been begun with
				if _, err := os.Stat(filepath.Join(c.Dir(i), "restore")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("node %d: %v", i, err)
				}
			}
			archiveAll(t, c, 4)
			c.Kill(0)
			c.Restart(0)
			c.WaitReady()
			for _, chat := range chats {
				if _, _, err := readWhole(t.Context(), client, reader, chat, 100); err != nil {
					t.Errorf("%s after a restart: %v", chat, err)
				}
			}
		})
	}
}

// keyIn finds a name whose group is the one that is wanted.
func keyIn(prefix string, g wire.GroupID, groups int) string {
	for i := 0; ; i++ {
		if name := fmt.Sprint(prefix, i); wire.GroupOf(wire.SlotOf(name), groups) == g {
			return name
		}
	}
}

// TestRestore_OfGroupsSavedAtDifferentTimes has chats made and changed between the checkpoints of the groups of a user and of his chats, in both
// orders: lists and claims are right all the same, and can be changed.
func TestRestore_OfGroupsSavedAtDifferentTimes(t *testing.T) {
	url, from := dirStore(t)
	const groups = 2
	c := sequencertest.Start(t, 1, groups)
	client, addr := c.Client(), c.Addrs()[0]
	// Users are in group 0. Early chats are saved before the users are, late ones after them.
	ann, bob := keyIn("ann", 0, groups), keyIn("bob", 0, groups)
	stays, late, gone := keyIn("stays", 1, groups), keyIn("late", 1, groups), keyIn("gone", 1, groups)
	direct, lonely := keyIn("direct", 1, groups), keyIn("lonely", 1, groups)
	make := func(typ wire.ChatType, chat string) {
		t.Helper()
		q := wire.CreateChatRequest{ChatID: chat, Type: typ, CreatorID: ann, Members: []string{ann, bob}}
		if _, _, err := client.CreateChat(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	told := func() {
		t.Helper()
		c.Eventually("the lists know", func() bool { return c.Node(0).Store(1).OutboxPending() == 0 })
	}
	make(wire.GroupChat, stays)
	told()

	// Users first: the chats that come now have their lines acknowledged before their group is saved.
	usersFirst := sequencertest.BeginBackup(t, client, addr, url)
	sequencertest.SaveGroup(t, client, addr, url, usersFirst, 0)
	make(wire.GroupChat, late)
	if _, err := client.ClaimPair(t.Context(), ann, bob, direct, ""); err != nil {
		t.Fatal(err)
	}
	make(wire.Direct, direct)
	told()
	sequencertest.SaveGroup(t, client, addr, url, usersFirst, 1)
	c.Operate("BACKUP", "COMMIT", usersFirst, "TO", url)

	// Chats first: what comes now is in the lists, and nowhere else.
	chatsFirst := sequencertest.BeginBackup(t, client, addr, url)
	sequencertest.SaveGroup(t, client, addr, url, chatsFirst, 1)
	make(wire.GroupChat, gone)
	if _, err := client.ChangeMembers(t.Context(), stays, ann, nil, []string{bob}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ClaimPair(t.Context(), ann, keyIn("cid", 0, groups), lonely, ""); err != nil {
		t.Fatal(err)
	}
	told()
	sequencertest.SaveGroup(t, client, addr, url, chatsFirst, 0)
	c.Operate("BACKUP", "COMMIT", chatsFirst, "TO", url)
	c.Kill(0)

	has := func(client *wire.Client, user, chat string) bool {
		t.Helper()
		list, _, err := client.UserChats(t.Context(), user, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range list {
			if line.ChatID == chat {
				return true
			}
		}
		return false
	}
	t.Run("users first", func(t *testing.T) {
		c := sequencertest.Start(t, 1, groups, restoring(t, from, usersFirst))
		client := c.Client()
		c.Eventually("the lists know", func() bool { return c.Node(0).Store(1).OutboxPending() == 0 })
		for _, user := range []string{ann, bob} {
			for _, chat := range []string{stays, late, direct} {
				if !has(client, user, chat) {
					t.Errorf("%s is not in %s's list", chat, user)
				}
			}
		}
		if winner, err := client.ClaimPair(t.Context(), ann, bob, "another", ""); err != nil || winner != direct {
			t.Errorf("the pair has %s, %v: the chat that it has is %s", winner, err, direct)
		}
	})
	t.Run("chats first", func(t *testing.T) {
		c := sequencertest.Start(t, 1, groups, restoring(t, from, chatsFirst))
		client := c.Client()
		c.Eventually("the lists know", func() bool { return c.Node(0).Store(1).OutboxPending() == 0 })
		if !has(client, bob, stays) { // it was saved with him in it
			t.Errorf("%s has lost a chat that he is in", bob)
		}
		// The version that his line had before would keep this from him.
		if _, err := client.ChangeMembers(t.Context(), stays, ann, nil, []string{bob}); err != nil {
			t.Fatal(err)
		}
		c.Eventually("he is out", func() bool { return !has(client, bob, stays) })
		q := wire.CreateChatRequest{ChatID: gone, Type: wire.GroupChat, CreatorID: ann, Members: []string{ann, bob}}
		if _, fresh, err := client.CreateChat(t.Context(), q); err != nil || !fresh {
			t.Errorf("a chat that is only in lists is made: %t, %v", fresh, err)
		}
		if winner, err := client.ClaimPair(t.Context(), ann, keyIn("cid", 0, groups), "another", ""); err != nil || winner != lonely {
			t.Errorf("the claim of a chat that is not there: %s, %v", winner, err)
		}
		q = wire.CreateChatRequest{ChatID: lonely, Type: wire.Direct, CreatorID: ann, Members: []string{ann, keyIn("cid", 0, groups)}}
		if _, fresh, err := client.CreateChat(t.Context(), q); err != nil || !fresh {
			t.Errorf("that chat is made: %t, %v", fresh, err)
		}
	})
}

// TestRestore_RefusesWhatItMustNotServe: a directory in use, a half restore, nodes that began with different things, a join.
func TestRestore_RefusesWhatItMustNotServe(t *testing.T) {
	url, from := dirStore(t)
	c := sequencertest.Start(t, 1, 2)
	name := sequencertest.Backup(t, c.Client(), c.Addrs()[0], url)
	used := c.Dir(0)
	c.Kill(0)
	restore := func(dir string) error {
		_, err := sequencer.Restore(t.Context(), sequencer.RestoreConfig{From: from, Name: name, Dir: dir})
		return err
	}
	if err := restore(used); !errors.Is(err, sequencer.ErrNotEmpty) {
		t.Errorf("into a directory in use: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "n1")
	if err := restore(dir); err != nil {
		t.Fatal(err)
	}
	if err := restore(dir); !errors.Is(err, sequencer.ErrNotEmpty) {
		t.Errorf("a second time: %v", err)
	}
	full := sequencer.RestoreConfig{From: from, Name: name, Dir: t.TempDir(), DiskFree: func(string) (int64, int64, error) { return 10, 10, nil }}
	if _, err := sequencer.Restore(t.Context(), full); err == nil || !strings.Contains(err.Error(), "room") {
		t.Errorf("onto a full disk: %v", err)
	}
	open := func(change func(*sequencer.Config)) error {
		raftAddr, respAddr := sequencertest.LoopbackAddrs(t)
		cfg := sequencer.Config{NodeID: "n1", Dir: dir, RaftAddr: raftAddr, RESPAddr: respAddr, Groups: 2}
		cfg.Bootstrap = []sequencer.Peer{{ID: "n1", RaftAddr: raftAddr}}
		change(&cfg)
		n, err := sequencer.Open(cfg)
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err = errors.Join(n.Ready(ctx), n.Close())
		}
		return err
	}
	if err := open(func(cfg *sequencer.Config) { cfg.Bootstrap, cfg.Join = nil, "127.0.0.1:1" }); err == nil || !strings.Contains(err.Error(), "Join") {
		t.Errorf("a restored node joins: %v", err)
	}
	mark := filepath.Join(dir, "restore", "restored.json")
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	if err := open(func(*sequencer.Config) {}); !errors.Is(err, sequencer.ErrHalfRestored) {
		t.Errorf("a half restore: %v", err)
	}
	if err := os.RemoveAll(filepath.Dir(mark)); err != nil {
		t.Fatal(err)
	}
	if err := open(func(*sequencer.Config) {}); !errors.Is(err, sequencer.ErrHalfRestored) { // it had begun to be a restored node
		t.Errorf("what was restored is gone: %v", err)
	}
}

// TestRestore_NodesThatBeginWithDifferentThings find out, and none of them serves.
func TestRestore_NodesThatBeginWithDifferentThings(t *testing.T) {
	url, from := dirStore(t)
	c := sequencertest.Start(t, 1, 2)
	name := sequencertest.Backup(t, c.Client(), c.Addrs()[0], url)
	c.Kill(0)
	var nodes []*sequencer.Node
	var peers []sequencer.Peer
	var configs []sequencer.Config
	for i := range 2 {
		raftAddr, respAddr := sequencertest.LoopbackAddrs(t)
		id := wire.NodeID(fmt.Sprint("n", i))
		peers = append(peers, sequencer.Peer{ID: id, RaftAddr: raftAddr})
		configs = append(configs, sequencer.Config{NodeID: id, Dir: filepath.Join(t.TempDir(), "n"), RaftAddr: raftAddr, RESPAddr: respAddr, Groups: 2})
	}
	if _, err := sequencer.Restore(t.Context(), sequencer.RestoreConfig{From: from, Name: name, Dir: configs[0].Dir}); err != nil {
		t.Fatal(err)
	}
	for i := range configs {
		configs[i].Bootstrap = peers
		n, err := sequencer.Open(configs[i])
		if err != nil {
			t.Fatal(err)
		}
		defer n.Kill() //nolint:errcheck // it never served
		nodes = append(nodes, n)
	}
	for i, n := range nodes {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err := n.Ready(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), "restore the same backup") {
			t.Errorf("node %d: %v", i, err)
		}
	}
}

// TestBackup_OfTheArchivesStoreIsRefused: what the archive needs no more it removes, and a backup may need it.
func TestBackup_OfTheArchivesStoreIsRefused(t *testing.T) {
	url, store := dirStore(t)
	c := sequencertest.Start(t, 1, 1, archiving(store))
	var err error
	c.Eventually("an answer", func() bool {
		_, err = c.Client().DoFollow(t.Context(), c.Addrs()[0], "BACKUP", "BEGIN", "TO", url)
		return !wire.Temporary(err)
	})
	if err == nil || !strings.Contains(err.Error(), backup.ErrSameStore.Error()) {
		t.Errorf("got %v", err)
	}
	if all, err := backup.List(t.Context(), store); err != nil || len(all) > 0 {
		t.Errorf("it left %v, %v", all, err)
	}
}
