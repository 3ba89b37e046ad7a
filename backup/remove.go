package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

// sweepAge is the age before which what no backup refers to is left alone: a backup that is being made may be about to refer to it.
const sweepAge = wire.Millis(24 * 60 * 60 * 1000)

// ErrInProgress says that a backup may be under way in the store, so that nothing can be told of what is shared.
var ErrInProgress = errors.New("a backup has been begun within the last day and is not finished: remove it by its name, or wait")

// Removed is what came of Remove.
type Removed struct {
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// Remove deletes a backup, finished or not: its manifest first, so that no half of it is ever taken for a backup. Tables and copies that other
// backups share stay until Sweep.
func Remove(ctx context.Context, store archive.Store, name string) (Removed, error) {
	var gone Removed
	if err := CheckName(name); err != nil {
		return gone, err
	}
	if err := store.Delete(ctx, wholeKey(name)); err != nil {
		return gone, storeError(wholeKey(name), err)
	}
	err := removeAll(ctx, store, prefixOf(name), &gone, func(archive.Object) bool { return true })
	if err == nil && gone.Objects == 0 {
		err = fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return gone, err
}

// Sweep deletes the tables that no backup refers to, and with segments also such copies of objects of the archive. It compares with what all
// backups in the store say, the unfinished too, and leaves alone what is younger than a day. It refuses while a backup may be under way, and
// copies where a cluster of which there is no backup keeps its archive beside them: that cluster, a restored one, may read them.
func Sweep(ctx context.Context, store archive.Store, segments bool, now wire.Millis) (Removed, error) {
	var gone Removed
	used, clusters, err := references(ctx, store, now)
	if err != nil {
		return gone, err
	}
	unused := func(o archive.Object) bool { return !used[o.Key] && o.ModifiedAt < now-sweepAge }
	if err := removeAll(ctx, store, allTables, &gone, unused); err != nil || !segments {
		return gone, err
	}
	err = store.List(ctx, allSegments, func(o archive.Object) error {
		if made, ok := archive.ParseKey(o.Key); ok && !clusters[made.Cluster] {
			return fmt.Errorf("%w: cluster %s has its archive here", ErrSameStore, made.Cluster)
		}
		return nil
	})
	if err != nil {
		return gone, err
	}
	return gone, removeAll(ctx, store, allSegments, &gone, unused)
}

// references gives the keys of all that the backups of a store refer to, and the clusters that objects of the archive among them are of.
func references(ctx context.Context, store archive.Store, now wire.Millis) (used, clusters map[string]bool, err error) {
	all, err := List(ctx, store)
	if err != nil {
		return nil, nil, err
	}
	used, clusters = map[string]bool{}, map[string]bool{}
	for _, e := range all {
		if !e.Finished {
			if e.ModifiedAt > now-sweepAge {
				return nil, nil, fmt.Errorf("%w: %s", ErrInProgress, e.Name)
			}
			continue
		}
		b, err := Open(ctx, store, e.Name)
		if err != nil {
			return nil, nil, fmt.Errorf("backup %s, without which nothing is removed: %w", e.Name, err)
		}
		clusters[b.ClusterID] = true
		for _, g := range b.Groups {
			for _, o := range g.objects() {
				used[o.Key] = true
				if made, ok := archive.ParseKey(o.Key); ok {
					clusters[made.Cluster] = true
				}
			}
		}
	}
	return used, clusters, nil
}

// removePage is how many keys are held while they are deleted: a listing is not changed under way.
const removePage = 1000

func removeAll(ctx context.Context, store archive.Store, prefix string, gone *Removed, which func(archive.Object) bool) error {
	for last := ""; ; {
		var page []archive.Object
		full := errors.New("page")
		err := store.List(ctx, prefix, func(o archive.Object) error {
			if strings.HasPrefix(o.Key, prefix) && which(o) {
				page = append(page, o)
			}
			if len(page) == removePage {
				return full
			}
			return nil
		})
		if err != nil && !errors.Is(err, full) {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		if len(page) > 0 && page[0].Key == last {
			return fmt.Errorf("%w: %s stays although it was deleted", archive.ErrUnavailable, last)
		}
		for o := range slices.Values(page) {
			last = page[0].Key
			if err := store.Delete(ctx, o.Key); err != nil {
				return storeError(o.Key, err)
			}
			gone.Objects++
			gone.Bytes += o.Size
		}
		if len(page) < removePage {
			return nil
		}
	}
}
