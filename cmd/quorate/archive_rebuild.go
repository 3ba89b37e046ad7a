package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

// indexLine is one line of an index: where a run of a chat is.
type indexLine struct {
	Group  int      `json:"group"`
	ChatID string   `json:"chatId"`
	From   wire.Seq `json:"from"`
	To     wire.Seq `json:"to"`
	Object string   `json:"object"`
	Row    int64    `json:"row"`

	info archive.Info // of the object
}

// comparison is how a rebuilt index and that of the cluster are to each other.
type comparison struct {
	Lines   int         `json:"lines"` // of the cluster's
	Equal   int         `json:"equal"` // of them that are in the rebuilt one, too
	Missing []string    `json:"missing"`
	Index   []indexLine `json:"index"`
}

// archiveRebuild makes the index anew. It changes nothing; it fails where the objects do not hold all that the cluster's index has.
func (a *app) archiveRebuild(cmd *cobra.Command, args []string) error {
	store, err := a.archiveStore()
	if err != nil {
		return err
	}
	groups, cluster, err := a.groupsOf(cmd, args)
	if err != nil {
		return err
	}
	all := comparison{Missing: []string{}, Index: []indexLine{}}
	for _, g := range groups {
		index, err := a.index(cmd, g)
		if err != nil {
			return err
		}
		var found []indexLine
		for _, of := range clustersOf(index, cluster) {
			lines, err := a.inspectGroup(cmd, store, of, g)
			if err != nil {
				return err
			}
			found = append(found, lines...)
		}
		all.compare(index, chain(found))
	}
	header := []string{"LINES", "EQUAL", "MISSING"}
	row := []string{strconv.Itoa(all.Lines), strconv.Itoa(all.Equal), strconv.Itoa(len(all.Missing))}
	if err := a.print(cmd.OutOrStdout(), all, header, [][]string{row}); err != nil {
		return err
	}
	if len(all.Missing) > 0 {
		return fmt.Errorf("%d runs that the index has are in no object, the first is %s", len(all.Missing), all.Missing[0])
	}
	return nil
}

// clustersOf names the clusters whose objects an index refers to, and the present one: a cluster that began with a backup has those of the one
// before.
func clustersOf(index []indexLine, present string) []string {
	clusters := []string{present}
	for _, l := range index {
		if made, ok := archive.ParseKey(l.Object); ok && !slices.Contains(clusters, made.Cluster) {
			clusters = append(clusters, made.Cluster)
		}
	}
	return clusters
}

// inspectGroup reads all objects of a group. One that is broken is told of, and left out.
func (a *app) inspectGroup(cmd *cobra.Command, store archive.Store, cluster string, group int) (lines []indexLine, err error) {
	objects := 0
	err = store.List(cmd.Context(), archive.GroupPrefix(cluster, wire.GroupID(group)), func(o archive.Object) error {
		if _, ok := archive.ParseKey(o.Key); !ok {
			return nil
		}
		objects++
		info, ranges, _, err := archive.Inspect(cmd.Context(), store, o)
		if err != nil {
			progress(cmd, "%s is left out: %v", o.Key, err)
			return context.Cause(cmd.Context())
		}
		for _, r := range ranges {
			lines = append(lines, indexLine{Group: group, ChatID: r.ChatID, From: r.From, To: r.To, Object: o.Key, Row: r.Row, info: info})
		}
		progress(cmd, "group %d: %d objects, %d runs", group, objects, len(lines))
		return nil
	})
	return lines, err
}

// chain picks of all runs those that follow on from each other. Where several go on from the same seq, that which goes furthest is
// taken, and of equal ones that of the later leader: runs that were merged stand in a longer one.
func chain(found []indexLine) (index []indexLine) {
	slices.SortFunc(found, func(a, b indexLine) int {
		return cmp.Or(cmp.Compare(a.ChatID, b.ChatID), cmp.Compare(a.From, b.From), cmp.Compare(b.To, a.To),
			cmp.Compare(b.info.Term, a.info.Term), cmp.Compare(b.info.CreatedAt, a.info.CreatedAt))
	})
	for _, l := range found {
		if n := len(index); n > 0 && index[n-1].ChatID == l.ChatID && l.From <= index[n-1].To {
			continue
		}
		index = append(index, l)
	}
	return index
}

// index reads that of the cluster, with the names of the objects.
func (a *app) index(cmd *cobra.Command, group int) (lines []indexLine, err error) {
	segments, err := a.segments(cmd, []int{group})
	if err != nil {
		return nil, err
	}
	names := map[uint64]string{}
	for _, s := range segments {
		names[s.Number] = s.Object
	}
	after := []string{}
	for {
		command := append([]string{"ARCHIVE", "INDEX", strconv.Itoa(group), "COUNT", strconv.Itoa(segmentPage)}, after...)
		reply, err := a.ask(cmd, operateTime, command...)
		if err != nil {
			return nil, err
		}
		for _, r := range reply.Elems() {
			lines = append(lines, indexLine{
				Group: group, ChatID: r.Field("chatId").Str(), From: wire.Seq(r.Field("from").Num()), To: wire.Seq(r.Field("to").Num()),
				Object: names[r.Field("segment").Num()], Row: int64(r.Field("row").Num()),
			})
		}
		if len(reply.Elems()) < segmentPage {
			return lines, nil
		}
		last := lines[len(lines)-1]
		after = []string{"AFTER", last.ChatID, strconv.FormatUint(uint64(last.From), 10)}
	}
}

// compare adds a group: what of its index is not in the rebuilt one at all is missing.
func (c *comparison) compare(index, rebuilt []indexLine) {
	c.Lines += len(index)
	c.Index = append(c.Index, rebuilt...)
	for i := range rebuilt {
		rebuilt[i].info = archive.Info{}
	}
	byChat := map[string][]indexLine{}
	for _, l := range rebuilt {
		byChat[l.ChatID] = append(byChat[l.ChatID], l)
	}
	for _, l := range index {
		if slices.Contains(byChat[l.ChatID], l) {
			c.Equal++
			continue
		}
		at := l.From
		for _, r := range byChat[l.ChatID] {
			if r.From <= at && at <= r.To {
				at = r.To + 1
			}
		}
		if at <= l.To {
			c.Missing = append(c.Missing, fmt.Sprintf("%s:%d-%d", l.ChatID, l.From, l.To))
		}
	}
}

// printJSONLine prints a value as a line of JSON.
func printJSONLine(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
