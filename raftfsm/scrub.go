package raftfsm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// scrubPause is between two passes over a replica's tables.
const scrubPause = 10 * time.Minute

// scrub reads all tables of the state and of the snapshots again and again, slowly, so that what a disk loses is found
// while the other replicas still have it. One replica of a node does so at a time. Damage is fatal, as on any other read.
func (g *Group) scrub() {
	defer g.done.Done()
	for g.cfg.ScrubBytes > 0 {
		select {
		case g.turn <- struct{}{}:
		case <-g.closing:
			return
		}
		err := g.scrubOnce()
		<-g.turn
		if err != nil {
			g.store.failure.tell(err)
			return
		}
		if !g.pause(scrubPause) {
			return
		}
	}
}

// scrubOnce verifies each table once; tables are linked into snapshots.
func (g *Group) scrubOnce() error {
	tables, err := g.scrubbable()
	if err != nil {
		g.log.Warn("scrub", "err", err)
		return nil
	}
	var seen []os.FileInfo
	for _, t := range tables {
		if contains(seen, t.info) {
			continue
		}
		seen = append(seen, t.info)
		if err := t.verify(); errors.Is(err, ErrCorrupt) {
			return err
		}
		g.scrubbed.Add(uint64(t.info.Size()))
		if !g.pause(time.Duration(float64(t.info.Size()) / float64(g.cfg.ScrubBytes) * float64(time.Second))) {
			return nil
		}
	}
	return nil
}

// scrubbable lists all tables of the state and of the snapshots that are complete.
func (g *Group) scrubbable() ([]table, error) {
	tables, err := g.store.tables()
	if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob(filepath.Join(g.cfg.Dir, "snapshots", "*", "state"))
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if strings.HasSuffix(filepath.Dir(dir), unfinishedSuffix) {
			continue
		}
		more, err := tablesIn(dir)
		if err != nil {
			return nil, err
		}
		tables = append(tables, more...)
	}
	return tables, nil
}

func contains(seen []os.FileInfo, info os.FileInfo) bool {
	for _, other := range seen {
		if os.SameFile(other, info) {
			return true
		}
	}
	return false
}

// pause waits; it is false when the group closes first.
func (g *Group) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-g.closing:
		return false
	}
}
