package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/backup"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	saveTime     = 24 * time.Hour   // for one group to be saved
	saveTries    = 5                // of a group: a leader may change meanwhile, and what was sent is not sent again
	savePause    = time.Second      // between two of them, and between two looks at how far they are
	commitTime   = 30 * time.Minute // it looks for every object
	listedAtMost = 10_000
)

func (a *app) backupCommand() *cobra.Command {
	child := func(use, short string, low, high int, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: between(low, high), RunE: run}
	}
	var segments bool
	remove := child("rm NAME", "Delete a backup, and what no other backup needs", 1, 1, func(cmd *cobra.Command, args []string) error {
		return a.backupRemove(cmd, args[0], segments)
	})
	remove.Flags().BoolVar(&segments, "segments", false, "also delete copies of archived messages; not where a cluster has the store as its archive")
	cmd := &cobra.Command{
		Use: "backup", Short: "Save the whole cluster while it serves",
		Long: "Save the whole cluster while it serves: a checkpoint of every group, and the archived messages that they refer to, in the\n" +
			"object store --to. The nodes send it themselves, with the credentials of their environment. Without --to it is what\n" +
			"they were given with --backup.",
		Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error { return a.backupRun(cmd) },
	}
	cmd.AddCommand(
		child("ls", "Print the backups in the store, those that are not finished too", 0, 0, a.backupList),
		child("verify [NAME]", "Read a backup whole, without a cluster: every sum and every record", 0, 1, a.backupVerify),
		remove,
	)
	a.bind(cmd.PersistentFlags(), "raft")
	a.bind(cmd.PersistentFlags(), "backup")
	return cmd
}

// backupLine is a group of a backup.
type backupLine struct {
	Group        uint64    `json:"group"`
	Index        uint64    `json:"index"`
	Term         uint64    `json:"term"`
	At           time.Time `json:"at"`
	Files        uint64    `json:"files"`
	Bytes        uint64    `json:"bytes"`
	Segments     uint64    `json:"segments"`
	SegmentBytes uint64    `json:"segmentBytes"`
}

// backupView is a backup that was made.
type backupView struct {
	Name      string       `json:"name"`
	ClusterID string       `json:"clusterId"`
	Epoch     uint64       `json:"epoch"`
	At        time.Time    `json:"at"`
	Sent      uint64       `json:"sentBytes"` // the rest was in the store already
	Groups    []backupLine `json:"groups"`
}

// backupRun makes a backup: all groups at one time, and then the manifest.
func (a *app) backupRun(cmd *cobra.Command) error {
	to := []string{}
	if url := a.config.Backup.Store; url != "" {
		if _, err := openStore("--to", url); err != nil {
			return err
		}
		to = []string{"TO", url}
	}
	begun, err := a.step(cmd, operateTime, append([]string{"BACKUP", "BEGIN"}, to...)...)
	if err != nil {
		return err
	}
	name, groups := begun.Field("name").Str(), int(begun.Field("groups").Num())
	progress(cmd, "backup %s of %d groups", name, groups)
	sent, err := a.saveGroups(cmd, name, groups, to)
	if err != nil {
		return fmt.Errorf("backup %s is not finished: %w", name, err)
	}
	done, err := a.step(cmd, commitTime, append([]string{"BACKUP", "COMMIT", name}, to...)...)
	if err != nil {
		return fmt.Errorf("backup %s is not finished: %w", name, err)
	}
	view := backupView{
		Name: name, ClusterID: done.Field("clusterId").Str(), Epoch: done.Field("epoch").Num(), At: timeOf(done.Field("at").Num()), Sent: sent,
	}
	var rows [][]string
	for _, r := range done.Field("groups").Elems() {
		l := backupLine{
			Group: r.Field("group").Num(), Index: r.Field("index").Num(), Term: r.Field("term").Num(), At: timeOf(r.Field("at").Num()),
			Files: r.Field("files").Num(), Bytes: r.Field("bytes").Num(), Segments: r.Field("segments").Num(), SegmentBytes: r.Field("segmentBytes").Num(),
		}
		view.Groups = append(view.Groups, l)
		rows = append(rows, []string{
			number(l.Group), number(l.Index), l.At.Format(time.RFC3339), number(l.Files), number(l.Bytes), number(l.Segments), number(l.SegmentBytes),
		})
	}
	err = a.print(cmd.OutOrStdout(), view, []string{"GROUP", "INDEX", "AT", "FILES", "BYTES", "OBJECTS", "BYTES"}, rows)
	if err == nil && a.output != "json" {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "\nbackup %s is complete; %d bytes were sent, the rest was there\n", name, sent)
	}
	return err
}

// saveGroups has all groups saved at one time, so that their checkpoints are of nearly one moment. It tells how far they are.
func (a *app) saveGroups(cmd *cobra.Command, name string, groups int, to []string) (sent uint64, err error) {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	var saving sync.WaitGroup
	errs, bytes := make([]error, groups), make([]uint64, groups)
	for g := range groups {
		saving.Go(func() {
			if bytes[g], errs[g] = a.saveGroup(cmd, name, g, to); errs[g] != nil {
				errs[g] = fmt.Errorf("group %d: %w", g, errs[g])
			}
		})
	}
	done := make(chan struct{})
	go func() { defer close(done); saving.Wait() }()
	for told, open := "", true; open; {
		select {
		case <-done:
			open = false
		case <-time.After(savePause):
			told = a.tellSaving(ctx, cmd, groups, told)
		}
	}
	for _, n := range bytes {
		sent += n
	}
	return sent, errors.Join(errs...)
}

// saveGroup has a group saved, by another node where its leader goes away.
func (a *app) saveGroup(cmd *cobra.Command, name string, g int, to []string) (sent uint64, err error) {
	for try := 1; ; try++ {
		reply, err := a.ask(cmd, saveTime, append([]string{"BACKUP", "GROUP", strconv.Itoa(g), name}, to...)...)
		if err == nil {
			return reply.Field("sent").Num(), nil
		}
		if !wire.Temporary(err) || try == saveTries {
			return 0, err
		}
		progress(cmd, "group %d is tried again: %v", g, err)
		if !waitFor(cmd.Context(), savePause) {
			return 0, cmd.Context().Err()
		}
	}
}

// tellSaving says how far the groups are, where that is not what was said last.
func (a *app) tellSaving(ctx context.Context, cmd *cobra.Command, groups int, told string) string {
	var files, allFiles, bytes, allBytes uint64
	states := map[string]int{}
	for g := range groups {
		r, err := a.ask(cmd, operateTime, "BACKUP", "STATUS", strconv.Itoa(g))
		if err != nil || ctx.Err() != nil {
			continue // it is told of next time
		}
		states[r.Field("state").Str()]++
		files, allFiles = files+r.Field("files").Num(), allFiles+r.Field("allFiles").Num()
		bytes, allBytes = bytes+r.Field("bytes").Num(), allBytes+r.Field("allBytes").Num()
	}
	text := fmt.Sprintf("%d of %d groups idle or done; %d of %d files, %d of %d bytes", states["idle"], groups, files, allFiles, bytes, allBytes)
	if text != told {
		progress(cmd, "%s", text)
	}
	return text
}

// step takes a step of a backup, again where that may help.
func (a *app) step(cmd *cobra.Command, within time.Duration, command ...string) (wire.Reply, error) {
	for try := 1; ; try++ {
		reply, err := a.ask(cmd, within, command...)
		if err == nil || !wire.Temporary(err) || try == saveTries || !waitFor(cmd.Context(), savePause) {
			return reply, err
		}
	}
}

// waitFor waits, and is false where ctx ends first.
func waitFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// backupStore opens the store of the backups, which this process talks to itself.
func (a *app) backupStore() (archive.Store, error) {
	if a.config.Backup.Store == "" {
		return nil, usagef("--to is missing: name the object store of the backups")
	}
	return openStore("--to", a.config.Backup.Store)
}

// backupEntry is a backup as `backup ls` prints it.
type backupEntry struct {
	Name      string     `json:"name"`
	State     string     `json:"state"` // "complete", "unfinished", or what is wrong with its manifest
	ClusterID string     `json:"clusterId"`
	Epoch     uint64     `json:"epoch"`
	At        *time.Time `json:"at"`
	Groups    int        `json:"groups"`
	Bytes     int64      `json:"bytes"`
}

func (a *app) backupList(cmd *cobra.Command, _ []string) error {
	store, err := a.backupStore()
	if err != nil {
		return err
	}
	found, err := backup.List(cmd.Context(), store)
	if err != nil {
		return err
	}
	all, rows := []backupEntry{}, [][]string{}
	for _, e := range found[:min(len(found), listedAtMost)] {
		line := backupEntry{Name: e.Name, State: "unfinished"}
		at := "-"
		if e.Finished {
			b, err := backup.Open(cmd.Context(), store, e.Name)
			if err != nil {
				line.State = oneLine(err)
			} else {
				when := timeOf(uint64(b.At))
				line.State, line.ClusterID, line.Epoch, line.At, line.Groups, line.Bytes = "complete", b.ClusterID, b.Epoch, &when, len(b.Groups), b.Bytes()
				at = when.Format(time.RFC3339)
			}
		}
		all = append(all, line)
		rows = append(rows, []string{line.Name, at, line.ClusterID, strconv.Itoa(line.Groups), strconv.FormatInt(line.Bytes, 10), line.State})
	}
	return a.print(cmd.OutOrStdout(), all, []string{"BACKUP", "AT", "CLUSTER", "GROUPS", "BYTES", "STATE"}, rows)
}

func (a *app) backupVerify(cmd *cobra.Command, args []string) error {
	store, err := a.backupStore()
	if err != nil {
		return err
	}
	result, err := sequencer.VerifyBackup(cmd.Context(), sequencer.RestoreConfig{From: store, Name: nameOf(args), Progress: restoreProgress(cmd)})
	if err != nil {
		return err
	}
	return a.printRestore(cmd, result, "is as it was written")
}

func nameOf(args []string) string {
	if len(args) == 0 {
		return backup.Latest
	}
	return args[0]
}

// backupRemove deletes a backup, and what it alone needed.
func (a *app) backupRemove(cmd *cobra.Command, name string, segments bool) error {
	store, err := a.backupStore()
	if err != nil {
		return err
	}
	gone, err := backup.Remove(cmd.Context(), store, name)
	if err != nil {
		return err
	}
	swept, err := backup.Sweep(cmd.Context(), store, segments, wire.Millis(time.Now().UnixMilli()))
	gone.Objects, gone.Bytes = gone.Objects+swept.Objects, gone.Bytes+swept.Bytes
	if err != nil {
		return fmt.Errorf("backup %s is removed, %d objects; what others may share stays: %w", name, gone.Objects, err)
	}
	return a.print(cmd.OutOrStdout(), gone, []string{"OBJECTS", "BYTES"}, [][]string{{strconv.Itoa(gone.Objects), strconv.FormatInt(gone.Bytes, 10)}})
}

// restoreProgress tells of every step of a restore, and of bytes not more than once a second.
func restoreProgress(cmd *cobra.Command) func(sequencer.RestoreProgress) {
	last, told := "", time.Time{}
	return func(p sequencer.RestoreProgress) {
		step := p.Step + strconv.Itoa(p.Group)
		if step == last && time.Since(told) < time.Second {
			return
		}
		last, told = step, time.Now()
		progress(cmd, "group %d: %s; %d of %d bytes", p.Group, p.Step, p.Bytes, p.AllBytes)
	}
}

func (a *app) printRestore(cmd *cobra.Command, result *sequencer.RestoreResult, what string) error {
	var rows [][]string
	for _, g := range result.Groups {
		rows = append(rows, []string{
			strconv.Itoa(g.Group), number(g.Index), timeOf(g.At).Format(time.RFC3339), strconv.FormatInt(g.Bytes, 10), number(g.Chats), number(g.Messages),
			strconv.Itoa(g.Objects),
		})
	}
	err := a.print(cmd.OutOrStdout(), result, []string{"GROUP", "INDEX", "AT", "BYTES", "CHATS", "HOT MESSAGES", "ARCHIVE OBJECTS"}, rows)
	if err == nil && a.output != "json" {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "\nbackup %s %s\n", result.Backup, strings.TrimSpace(what))
	}
	return err
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func timeOf(ms uint64) time.Time { return time.UnixMilli(int64(ms)).UTC() }
