package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

// roundTime is how long a round of one group may take that an operator asks for.
const roundTime = 6 * time.Hour

// segmentPage is how many lines are asked for at one time.
const segmentPage = 500

func (a *app) archiveCommand() *cobra.Command {
	child := func(use, short string, low, high int, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: between(low, high), RunE: run}
	}
	cmd := parent("archive", "Look after the archive of old messages",
		child("ls [GROUP]", "Print the objects that the index refers to", 0, 1, a.archiveList),
		child("cat OBJECT", "Print the messages of an object", 1, 1, a.archiveCat),
		child("verify [GROUP]", "Read every object that the index refers to, whole, and say which are not as they were written", 0, 1, a.archiveVerify),
		child("rebuild [GROUP]", "Make the index anew from the objects alone, and compare it with that of the cluster", 0, 1, a.archiveRebuild),
		child("run [GROUP]", "Archive now what is past the hot window", 0, 1, a.archiveRun),
	)
	a.bind(cmd.PersistentFlags(), "raft")
	a.bind(cmd.PersistentFlags(), "archive")
	return cmd
}

// segmentLine is an object that the index refers to.
type segmentLine struct {
	Group    int       `json:"group"`
	Number   uint64    `json:"number"`
	Object   string    `json:"object"`
	Bytes    int64     `json:"bytes"`
	Messages int64     `json:"messages"`
	Live     uint64    `json:"live"` // messages that the index finds there
	NewestAt time.Time `json:"newestAt"`

	segment wire.Segment
}

// groupsOf gives the groups that a command is for, and the cluster's id.
func (a *app) groupsOf(cmd *cobra.Command, args []string) (groups []int, cluster string, err error) {
	reply, err := a.ask(cmd, operateTime, "CLUSTER", "STATUS")
	if err != nil {
		return nil, "", err
	}
	view := viewOf(reply)
	for g := range view.Groups {
		groups = append(groups, g)
	}
	if len(args) == 0 {
		return groups, view.ClusterID, nil
	}
	g, err := strconv.Atoi(args[0])
	if err != nil || g < 0 || g >= view.Groups {
		return nil, "", usagef("GROUP must be 0 to %d, not %q", view.Groups-1, args[0])
	}
	return []int{g}, view.ClusterID, nil
}

// segments gives the objects that the indexes of groups refer to.
func (a *app) segments(cmd *cobra.Command, groups []int) (all []segmentLine, err error) {
	all = []segmentLine{}
	for _, g := range groups {
		for behind := uint64(0); ; {
			reply, err := a.ask(cmd, operateTime, "ARCHIVE", "SEGMENTS", strconv.Itoa(g), "AFTER", strconv.FormatUint(behind, 10), "COUNT", strconv.Itoa(segmentPage))
			if err != nil {
				return nil, err
			}
			for _, r := range reply.Elems() {
				line, err := segmentOf(g, r)
				if err != nil {
					return nil, err
				}
				all, behind = append(all, line), line.Number
			}
			if len(reply.Elems()) < segmentPage {
				break
			}
		}
	}
	return all, nil
}

func segmentOf(group int, r wire.Reply) (segmentLine, error) {
	line := segmentLine{
		Group: group, Number: r.Field("number").Num(), Object: r.Field("object").Str(), Bytes: int64(r.Field("size").Num()),
		Messages: int64(r.Field("rows").Num()), Live: r.Field("live").Num(), NewestAt: time.UnixMilli(int64(r.Field("newestAt").Num())).UTC(),
	}
	line.segment = wire.Segment{
		Key: line.Object, Size: line.Bytes, FooterSize: int64(r.Field("footerSize").Num()), FooterCRC: uint32(r.Field("footerCrc").Num()),
		Rows: line.Messages, NewestAt: wire.Millis(r.Field("newestAt").Num()),
	}
	sum, err := hex.DecodeString(r.Field("sha256").Str())
	if err != nil || copy(line.segment.SHA256[:], sum) != len(line.segment.SHA256) {
		return line, fmt.Errorf("object %s: its checksum is none: %q", line.Object, r.Field("sha256").Str())
	}
	return line, nil
}

func (a *app) archiveList(cmd *cobra.Command, args []string) error {
	groups, _, err := a.groupsOf(cmd, args)
	if err != nil {
		return err
	}
	all, err := a.segments(cmd, groups)
	if err != nil {
		return err
	}
	rows := make([][]string, len(all))
	for i, l := range all {
		rows[i] = []string{
			strconv.Itoa(l.Group), strconv.FormatUint(l.Number, 10), l.Object, strconv.FormatInt(l.Bytes, 10), strconv.FormatInt(l.Messages, 10),
			strconv.FormatUint(l.Live, 10), l.NewestAt.Format(time.RFC3339),
		}
	}
	return a.print(cmd.OutOrStdout(), all, []string{"GROUP", "NUMBER", "OBJECT", "BYTES", "MESSAGES", "LIVE", "NEWEST"}, rows)
}

func (a *app) archiveRun(cmd *cobra.Command, args []string) error {
	groups, _, err := a.groupsOf(cmd, args)
	if err != nil {
		return err
	}
	for _, g := range groups {
		began := time.Now()
		done := beat(cmd, "group %d", g)
		_, err := a.ask(cmd, roundTime, "ARCHIVE", "RUN", strconv.Itoa(g))
		done()
		if err != nil {
			return fmt.Errorf("group %d: %w", g, err)
		}
		progress(cmd, "group %d: done in %s", g, time.Since(began).Round(time.Millisecond))
	}
	return a.print(cmd.OutOrStdout(), map[string]string{"result": "ok"}, []string{"ok"}, nil)
}

// beatEvery is how often long work says that it goes on.
const beatEvery = 5 * time.Second

// beat tells on standard error, until the function that it gives is called, for how long something has been under way.
func beat(cmd *cobra.Command, format string, args ...any) (end func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(beatEvery)
		defer ticker.Stop()
		for began := time.Now(); ; {
			select {
			case <-ticker.C:
				progress(cmd, format+": under way for %s", append(args, time.Since(began).Round(time.Second))...)
			case <-stop:
				return
			}
		}
	}()
	return func() { close(stop); <-ended }
}

// progress tells on standard error how far long work is.
func progress(cmd *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) // nobody may be there to read it
}

// archiveStore opens the store that --archive names.
func (a *app) archiveStore() (archive.Store, error) {
	if a.config.Archive.Store == "" {
		return nil, usagef("--archive is missing: name the object store of the cluster")
	}
	return openArchive(a.config.Archive.Store)
}

// archivedMessage is a message as `archive cat` prints it.
type archivedMessage struct {
	MessageID       string            `json:"messageId"`
	SenderID        string            `json:"senderId"`
	ClientMessageID string            `json:"clientMessageId"`
	SentAt          time.Time         `json:"sentAt"`
	Lamport         uint64            `json:"lamport"`
	Text            string            `json:"text"`
	Receipts        []archivedReceipt `json:"receipts"`
}

type archivedReceipt struct {
	UserID      string     `json:"userId"`
	DeliveredAt *time.Time `json:"deliveredAt"`
	ReadAt      *time.Time `json:"readAt"`
}

// archiveCat prints a line per message, whatever the number.
func (a *app) archiveCat(cmd *cobra.Command, args []string) error {
	store, err := a.archiveStore()
	if err != nil {
		return err
	}
	object, err := findObject(cmd.Context(), store, args[0])
	if err != nil {
		return err
	}
	_, _, segment, err := archive.Inspect(cmd.Context(), store, object)
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	return archive.Scan(cmd.Context(), store, segment, func(r *archive.Row) error {
		m := archivedMessage{
			MessageID: r.ChatID + ":" + strconv.FormatUint(uint64(r.Seq), 10), SenderID: r.SenderID, ClientMessageID: r.ClientMessageID,
			SentAt: time.UnixMilli(int64(r.SentAt)).UTC(), Lamport: uint64(r.Lamport), Text: r.Text, Receipts: []archivedReceipt{},
		}
		for _, receipt := range r.Receipts {
			m.Receipts = append(m.Receipts, archivedReceipt{receipt.UserID, known(receipt.DeliveredAt), known(receipt.ReadAt)})
		}
		if a.output == "json" {
			return printJSONLine(w, m)
		}
		_, err := fmt.Fprintf(w, "%s  %s  %s  %s\n", m.MessageID, m.SentAt.Format(time.RFC3339), m.SenderID, printable(m.Text))
		return err
	})
}

// known gives a time, nil where it is not known.
func known(at wire.Millis) *time.Time {
	if at == 0 {
		return nil
	}
	t := time.UnixMilli(int64(at)).UTC()
	return &t
}

var errNoObject = errors.New("there is no such object; quorate archive ls names them")

// findObject finds an object by its key.
func findObject(ctx context.Context, store archive.Store, key string) (found archive.Object, err error) {
	info, ok := archive.ParseKey(key)
	if !ok {
		return found, usagef("OBJECT must be a name as quorate archive ls prints it, not %q", key)
	}
	err = store.List(ctx, archive.GroupPrefix(info.Cluster, info.Group), func(o archive.Object) error {
		if o.Key == key {
			found = o
		}
		return nil
	})
	if err == nil && found.Key == "" {
		err = errNoObject
	}
	return found, err
}

// archiveVerify reads every object.
func (a *app) archiveVerify(cmd *cobra.Command, args []string) error {
	store, err := a.archiveStore()
	if err != nil {
		return err
	}
	groups, cluster, err := a.groupsOf(cmd, args)
	if err != nil {
		return err
	}
	all, err := a.segments(cmd, groups)
	if err != nil {
		return err
	}
	type finding struct {
		Object string `json:"object"`
		Error  string `json:"error"`
	}
	broken := []finding{}
	for i, line := range all {
		info, _, err := archive.Verify(cmd.Context(), store, line.segment, nil)
		if err == nil && (info.Cluster != cluster || int(info.Group) != line.Group) {
			progress(cmd, "%s is of cluster %s, group %d", line.Object, info.Cluster, info.Group) // as it is after a restore
		}
		if err != nil {
			broken = append(broken, finding{line.Object, err.Error()})
		}
		progress(cmd, "%d of %d objects, %d broken", i+1, len(all), len(broken))
	}
	rows := make([][]string, len(broken))
	for i, f := range broken {
		rows[i] = []string{f.Object, f.Error}
	}
	err = a.print(cmd.OutOrStdout(), map[string]any{"objects": len(all), "broken": broken}, []string{"BROKEN OBJECT", "ERROR"}, rows)
	if err == nil && len(broken) > 0 {
		err = fmt.Errorf("%d of %d objects are broken", len(broken), len(all))
	}
	return err
}
