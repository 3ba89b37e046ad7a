package raftfsm

import (
	"errors"
	"testing"

	"github.com/quorate/quorate/raftfsm/wal"
)

// bolts makes replicas with a log of their own.
func bolts(_ int, cfg *Config) { cfg.WAL = nil }

// TestGroup_EitherLog runs the life of a group with each kind of log: starts, a follower that misses a part, one that gets
// a snapshot in place of what was cut.
func TestGroup_EitherLog(t *testing.T) {
	for name, adjust := range map[string]func(int, *Config){"wal": nil, "bolt": bolts} {
		t.Run(name, func(t *testing.T) {
			c := newTrio(t, adjust)
			c.append(20)
			late := c.follower()
			c.stop(late)
			c.append(20)
			c.start(late)
			c.check()
			c.stop(late)
			c.append(20)
			for i, g := range c.groups {
				if i != late {
					cutLog(t, g)
				}
			}
			c.start(late)
			c.append(10)
			c.check()
			if c.groups[late].Status().Installs == 0 {
				t.Fatal("it caught up without a snapshot: the test shows nothing")
			}
			for i := range c.groups {
				c.stop(i)
			}
			for i := range c.groups {
				c.start(i)
			}
			c.append(5)
			c.check()
		})
	}
}

func TestGroup_LogOfTheOtherKindIsRefused(t *testing.T) {
	shared, err := wal.Open(t.TempDir(), wal.Options{SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	other := false
	c := newTrio(t, func(node int, cfg *Config) {
		bolts(node, cfg)
		if other {
			cfg.WAL = shared
		}
	})
	c.append(1)
	c.stop(0)
	other = true
	if err := c.tryStart(0); !errors.Is(err, errOtherLog) {
		t.Fatalf("got %v", err)
	}
}
