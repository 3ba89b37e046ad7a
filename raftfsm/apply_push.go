package raftfsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// putDevice keeps a device in place of the one with its id.
func (t *txn) putDevice(c PutDevice) Result {
	if err := checkIDs(c.UserID, c.Device.DeviceID); err != nil {
		return Result{Err: err}
	}
	if size := len(appendTarget(nil, &c.Device)); size > 2*wire.MaxDeviceBytes {
		return Result{Err: fmt.Errorf("%w: a device has %d bytes", wire.ErrTooLarge, size)}
	}
	p := t.push(c.UserID)
	i, there := p.device(c.Device.DeviceID)
	if !there {
		if len(p.devices) >= wire.MaxDevices {
			return Result{Err: fmt.Errorf("%w: a user has at most %d devices", wire.ErrTooLarge, wire.MaxDevices)}
		}
		p.devices = slices.Insert(p.devices, i, wire.Device{})
	}
	p.devices[i] = c.Device
	t.putPush(c.UserID, p)
	return Result{Value: deviceVersion(&c.Device)}
}

// removeDevice forgets a device. Its Value is 1 where there was one.
func (t *txn) removeDevice(c RemoveDevice) Result {
	if err := checkIDs(c.UserID, c.DeviceID); err != nil {
		return Result{Err: err}
	}
	p := t.push(c.UserID)
	i, there := p.device(c.DeviceID)
	if !there || c.Version != 0 && c.Version != deviceVersion(&p.devices[i]) {
		return Result{}
	}
	p.devices = slices.Delete(p.devices, i, i+1)
	t.putPush(c.UserID, p)
	return Result{Value: 1}
}

// muteChat says until when a user wants nothing of a chat.
func (t *txn) muteChat(c MuteChat) Result {
	if err := checkIDs(c.UserID, c.ChatID); err != nil {
		return Result{Err: err}
	}
	p := t.push(c.UserID)
	p.mutes = slices.DeleteFunc(p.mutes, func(m wire.ChatMute) bool { return m.ChatID == c.ChatID || m.Until <= t.now })
	if c.Until > t.now {
		if len(p.mutes) >= wire.MaxMutes {
			return Result{Err: fmt.Errorf("%w: a user has at most %d muted chats", wire.ErrTooLarge, wire.MaxMutes)}
		}
		i, _ := slices.BinarySearchFunc(p.mutes, c.ChatID, func(m wire.ChatMute, id string) int { return strings.Compare(m.ChatID, id) })
		p.mutes = slices.Insert(p.mutes, i, wire.ChatMute{ChatID: c.ChatID, Until: c.Until})
	}
	t.putPush(c.UserID, p)
	return Result{Value: uint64(c.Until)}
}

func (p *pushRecord) device(id string) (int, bool) {
	return slices.BinarySearchFunc(p.devices, id, func(d wire.Device, id string) int { return strings.Compare(d.DeviceID, id) })
}

func (t *txn) push(userID string) (p pushRecord) {
	t.key = key1(t.key[:0], tablePush, userID)
	b, ok := t.get(t.key)
	if !ok {
		return p
	}
	p, err := decodePush(b)
	if err != nil {
		t.fail("devices of "+userID, err)
	}
	return p
}

// putPush writes how a user is to be notified; one without devices and mutes has no record.
func (t *txn) putPush(userID string, p pushRecord) {
	t.key = key1(t.key[:0], tablePush, userID)
	if len(p.devices)+len(p.mutes) == 0 {
		t.removeSeen(t.key)
		return
	}
	t.putSeen(t.key, p.append(nil))
}

// PushSettings gives how a user is to be notified.
func (s *Store) PushSettings(userID string) (p wire.PushSettings, err error) {
	err = s.view(func(db *pebble.DB) error {
		_, err := get(db, key1(nil, tablePush, userID), func(b []byte) error {
			r, err := decodePush(b)
			p = wire.PushSettings{Devices: r.devices, Mutes: r.mutes}
			return err
		})
		return err
	})
	return p, err
}
