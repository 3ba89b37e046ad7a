package raftfsm

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/quorate/quorate/sequencer/wire"
)

// pushRecord is how a user is to be notified.
type pushRecord struct {
	devices []wire.Device   // sorted by id
	mutes   []wire.ChatMute // sorted by chat
}

func (p *pushRecord) append(dst []byte) []byte {
	dst = binary.AppendUvarint(newRecord(dst), uint64(len(p.devices)))
	for i := range p.devices {
		dst = appendDevice(dst, &p.devices[i])
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.mutes)))
	for _, m := range p.mutes {
		dst = binary.AppendUvarint(appendString(dst, m.ChatID), uint64(m.Until))
	}
	return dst
}

func decodePush(b []byte) (p pushRecord, err error) {
	d := openRecord(b)
	for range d.count() {
		device := d.device()
		device.Version = deviceVersion(&device)
		p.devices = append(p.devices, device)
	}
	for range d.count() {
		p.mutes = append(p.mutes, wire.ChatMute{ChatID: d.string(), Until: d.millis()})
	}
	return p, d.end()
}

// deviceVersion names what is sent to: equal devices have the same one. It is exact in a JSON number, and not 0.
func deviceVersion(d *wire.Device) uint64 {
	sum := sha256.Sum256(appendTarget(nil, d))
	return binary.BigEndian.Uint64(sum[:8])>>12 + 1
}
