package sequencer

import (
	"strings"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// userDevices is USER.DEVICES userId [STALE] to read, USER.DEVICES userId PUT deviceId platform [field value …], or USER.DEVICES
// userId REMOVE deviceId [VERSION n].
func userDevices(c *conn, k *call, a args) error {
	userID, err := a.id(1, "userId")
	if err != nil {
		return err
	}
	switch {
	case a.is(2, "PUT"):
		return putDevice(k, a, userID)
	case a.is(2, "REMOVE"):
		return removeDevice(k, a, userID)
	}
	stale, err := a.stale(2)
	if err != nil {
		return err
	}
	secrets := rightWrite.of(c.who.role)
	return k.read(reading{key: userID, stale: stale}, func(s *raftfsm.Store, r *reply) error {
		p, err := s.PushSettings(userID)
		if err == nil {
			writePushSettings(r, &p, secrets)
		}
		return err
	})
}

// deviceFields are the words of a device, in the order of deviceField.
var deviceFields = [...]string{"ENDPOINT", "P256DH", "AUTH", "TOKEN", "TOPIC", "SECRET"}

// deviceField is the field that a word names, by its place in deviceFields.
func deviceField(d *wire.Device, i int) *string {
	return [...]*string{&d.Endpoint, &d.P256DH, &d.Auth, &d.Token, &d.Topic, &d.Secret}[i]
}

func putDevice(k *call, a args, userID string) error {
	cmd := raftfsm.PutDevice{UserID: userID}
	d := &cmd.Device
	if len(a) < 5 {
		return errSyntax
	}
	d.DeviceID, d.Platform = a.str(3), wire.Platform(a.str(4))
	for o := (options{args: a, at: 5}); o.more(); {
		if err := deviceOption(&o, d); err != nil {
			return err
		}
	}
	if err := wire.CheckDevice(d); err != nil {
		return err
	}
	return k.submit(userID, cmd, writeValue)
}

// deviceOption takes the next word and its value.
func deviceOption(o *options, d *wire.Device) error {
	if o.take(uint(len(deviceFields)), "MUTED") {
		until, err := o.number("MUTED", 0, uint64(wire.MaxSeq))
		d.MutedUntil = wire.Millis(until)
		return err
	}
	for i, word := range deviceFields {
		if o.take(uint(i), word) && o.more() {
			*deviceField(d, i) = o.str(o.at)
			o.at++
			return nil
		}
	}
	return errSyntax
}

func removeDevice(k *call, a args, userID string) error {
	cmd := raftfsm.RemoveDevice{UserID: userID}
	var err error
	if cmd.DeviceID, err = a.id(3, "deviceId"); err != nil {
		return err
	}
	switch {
	case len(a) == 6 && a.is(4, "VERSION"):
		if cmd.Version, err = a.number(5, "VERSION", 1, uint64(wire.MaxSeq)); err != nil {
			return err
		}
	case len(a) != 4:
		return errSyntax
	}
	return k.submit(userID, cmd, writeValue)
}

// userMute is USER.MUTE userId chatId until.
func userMute(_ *conn, k *call, a args) error {
	cmd := raftfsm.MuteChat{}
	var err error
	if cmd.UserID, err = a.id(1, "userId"); err != nil {
		return err
	}
	if cmd.ChatID, err = a.id(2, "chatId"); err != nil {
		return err
	}
	until, err := a.number(3, "until", 0, uint64(wire.MaxSeq))
	if err != nil {
		return err
	}
	cmd.Until = wire.Millis(until)
	return k.submit(cmd.UserID, cmd, writeValue)
}

// writePushSettings answers USER.DEVICES. What a notification could be sent with is for those alone who may write.
func writePushSettings(r *reply, p *wire.PushSettings, secrets bool) {
	r.maps(2)
	r.field("devices")
	r.array(len(p.Devices))
	for i := range p.Devices {
		d := &p.Devices[i]
		fields := 4
		if secrets {
			fields += len(deviceFields)
		}
		r.maps(fields)
		r.fieldStr("deviceId", d.DeviceID)
		r.fieldStr("platform", string(d.Platform))
		r.fieldInt("mutedUntil", int64(d.MutedUntil))
		r.fieldInt("version", int64(d.Version))
		for n := range fields - 4 {
			r.fieldStr(strings.ToLower(deviceFields[n]), *deviceField(d, n))
		}
	}
	r.field("mutes")
	r.array(len(p.Mutes))
	for _, m := range p.Mutes {
		r.maps(2)
		r.fieldStr("chatId", m.ChatID)
		r.fieldInt("until", int64(m.Until))
	}
}

func devicesCost(*conn, args) int {
	return wire.MaxDevices*(wire.MaxDeviceBytes+lineBytes) + wire.MaxMutes*memberBytes
}
