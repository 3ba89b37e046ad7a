package sequencer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/backup"
	"github.com/quorate/quorate/sequencer/wire"
)

// backupCommand is BACKUP BEGIN, GROUP, COMMIT and STATUS: the steps of a backup, in this order, which quorate backup takes.
func backupCommand(c *conn, k *call, a args) error {
	switch {
	case a.is(1, "BEGIN"):
		return backupBegin(c, k, a)
	case a.is(1, "GROUP") && len(a) >= 4:
		return backupGroup(c, k, a)
	case a.is(1, "COMMIT") && len(a) >= 3:
		return backupCommit(c, k, a)
	case a.is(1, "STATUS") && len(a) == 3:
		return backupStatus(c, k, a)
	case a.is(1, "HELP") && len(a) == 2:
		return helped(k, "BACKUP BEGIN [TO url]", "BACKUP GROUP group name [TO url]", "BACKUP COMMIT name [TO url]", "BACKUP STATUS group")
	}
	return unknownSub("BACKUP", a)
}

// backupTo reads [TO url] at the end of a command.
func (c *conn) backupTo(a args, at int) (archive.Store, error) {
	url := ""
	for o := (options{args: a, at: at}); o.more(); {
		if !o.take(0, "TO") || o.at >= len(a) {
			return nil, errSyntax
		}
		url = string(a[o.at])
		o.at++
	}
	return c.node.backupStore(url)
}

// metaHost gives the meta group where this node serves it; the error says where to turn.
func (c *conn) metaHost() error {
	meta := c.node.replicas().meta
	if meta == nil {
		return wire.ErrClusterDown
	}
	return meta.leadErr(0)
}

// backupBegin is BACKUP BEGIN [TO url].
func backupBegin(c *conn, k *call, a args) error {
	if err := c.metaHost(); err != nil {
		return err
	}
	store, err := c.backupTo(a, 2)
	if err != nil {
		return err
	}
	k.spawn(func(r *reply) error {
		begun, err := c.node.beginBackup(c.ctx, store)
		if err != nil {
			return backupError(err)
		}
		r.maps(3)
		r.fieldStr("name", begun.Name)
		r.fieldStr("clusterId", begun.ClusterID)
		r.fieldInt("groups", int64(begun.Groups))
		return nil
	})
	return nil
}

// backupGroup is BACKUP GROUP group name [TO url]. It is answered when the group is saved.
func backupGroup(c *conn, k *call, a args) error {
	h, err := c.group(a, 2)
	if err != nil {
		return err
	}
	if err := h.leadErr(h.firstSlot()); err != nil {
		return err
	}
	name := string(a[3])
	if err := backup.CheckName(name); err != nil {
		return fmt.Errorf("%w: %w", wire.ErrBadRequest, err)
	}
	store, err := c.backupTo(a, 4)
	if err != nil {
		return err
	}
	k.spawn(func(r *reply) error {
		part, err := h.saver.save(c.ctx, store, name)
		if err != nil {
			c.log.Error("a group was not saved", "group", h.id, "backup", name, "err", err)
			return backupError(err)
		}
		c.log.Info("a group is saved", "group", h.id, "backup", name, "bytes", part.Bytes, "sent", h.saver.now.sent.Load())
		r.maps(9)
		partFields(r, &part)
		r.fieldInt("sent", h.saver.now.sent.Load())
		return nil
	})
	return nil
}

// partFields adds the eight fields of a group in a backup.
func partFields(r *reply, p *backup.Part) {
	r.fieldInt("group", int64(p.Group))
	r.fieldInt("index", int64(p.Index))
	r.fieldInt("term", int64(p.Term))
	r.fieldInt("at", int64(p.At))
	r.fieldInt("files", int64(p.Files))
	r.fieldInt("bytes", p.Bytes)
	r.fieldInt("segments", int64(p.Segments))
	r.fieldInt("segmentBytes", p.SegmentBytes)
}

// backupCommit is BACKUP COMMIT name [TO url].
func backupCommit(c *conn, k *call, a args) error {
	if err := c.metaHost(); err != nil {
		return err
	}
	name := string(a[2])
	if err := backup.CheckName(name); err != nil {
		return fmt.Errorf("%w: %w", wire.ErrBadRequest, err)
	}
	store, err := c.backupTo(a, 3)
	if err != nil {
		return err
	}
	k.spawn(func(r *reply) error {
		m, err := c.node.commitBackup(c.ctx, store, name)
		if err != nil {
			return backupError(err)
		}
		r.maps(6)
		r.fieldStr("name", m.Name)
		r.fieldStr("clusterId", m.ClusterID)
		r.fieldInt("epoch", int64(m.Epoch))
		r.fieldInt("begunAt", int64(m.BegunAt))
		r.fieldInt("at", int64(m.At))
		r.field("groups")
		r.array(len(m.Parts))
		for i := range m.Parts {
			r.maps(8)
			partFields(r, &m.Parts[i])
		}
		return nil
	})
	return nil
}

// backupStatus is BACKUP STATUS group: how far the node that leads it is.
func backupStatus(c *conn, k *call, a args) error {
	h, err := c.group(a, 2)
	if err != nil {
		return err
	}
	if err := h.leadErr(h.firstSlot()); err != nil {
		return err
	}
	return k.answer(func(r *reply) {
		now := &h.saver.now
		r.maps(7)
		r.fieldInt("group", int64(h.id))
		r.fieldStr("state", *h.saver.state.Load())
		r.fieldInt("files", now.files.Load())
		r.fieldInt("allFiles", now.allFiles.Load())
		r.fieldInt("bytes", now.bytes.Load())
		r.fieldInt("allBytes", now.allBytes.Load())
		r.fieldInt("sent", now.sent.Load())
	})
}

// backupError gives what a backup failed of the word that tells whether to try again. That a store does not answer may pass.
func backupError(err error) error {
	var moved *wire.MovedError
	switch {
	case errors.As(err, &moved), wire.Temporary(err), errors.Is(err, wire.ErrBadRequest):
		return err
	case errors.Is(err, context.Canceled):
		return wire.ErrTryAgain
	case errors.Is(err, archive.ErrUnavailable):
		return fmt.Errorf("%w: %w", wire.ErrTryAgain, err)
	case errors.Is(err, backup.ErrMissing), errors.Is(err, backup.ErrNotFound):
		return fmt.Errorf("%w: %w", wire.ErrConflict, err)
	}
	return redisError("ERR " + strings.ReplaceAll(err.Error(), "\n", "; "))
}
