package raftfsm

import (
	"encoding/binary"

	"github.com/quorate/quorate/sequencer/wire"
)

// PutDevice keeps a device of a user, in the user's group, in place of the one with the same id. A user has at most
// wire.MaxDevices, one more is wire.ErrTooLarge. Device.Version is not looked at. Entries have it from format 4 on.
type PutDevice struct {
	UserID string
	Device wire.Device
}

// RemoveDevice forgets a device of a user; where Version is not 0, only if that is what it still is. A device that is not
// there is no error. Entries have it from format 4 on.
type RemoveDevice struct {
	UserID   string
	DeviceID string
	Version  uint64
}

// MuteChat says until when a user wants no notifications of a chat; 0 is that he wants them. A user has at most wire.MaxMutes
// that are not over, one more is wire.ErrTooLarge. Entries have it from format 4 on.
type MuteChat struct {
	UserID string
	ChatID string
	Until  wire.Millis
}

func (PutDevice) kind() commandKind    { return kindPutDevice }
func (RemoveDevice) kind() commandKind { return kindRemoveDevice }
func (MuteChat) kind() commandKind     { return kindMuteChat }

// appendDevice appends a device as commands and records have it: all but its version, which is made of the rest.
func appendDevice(dst []byte, d *wire.Device) []byte {
	dst = appendTarget(appendString(dst, d.DeviceID), d)
	return binary.AppendUvarint(dst, uint64(d.MutedUntil))
}

// appendTarget appends the fields of a device that say where a notification is sent.
func appendTarget(dst []byte, d *wire.Device) []byte {
	for _, text := range [...]string{string(d.Platform), d.Endpoint, d.P256DH, d.Auth, d.Token, d.Topic, d.Secret} {
		dst = appendString(dst, text)
	}
	return dst
}

func (d *decoder) device() wire.Device {
	return wire.Device{
		DeviceID: d.string(), Platform: wire.Platform(d.string()), Endpoint: d.string(), P256DH: d.string(), Auth: d.string(),
		Token: d.string(), Topic: d.string(), Secret: d.string(), MutedUntil: d.millis(),
	}
}
