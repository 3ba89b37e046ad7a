package raftfsm

import (
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/sequencer/wire"
)

// modelPush is how a user is to be notified, as plain Go values.
type modelPush struct {
	devices map[string]wire.Device
	mutes   map[string]wire.Millis
}

func (m *model) pushOf(user string) *modelPush {
	if m.push[user] == nil {
		m.push[user] = &modelPush{devices: map[string]wire.Device{}, mutes: map[string]wire.Millis{}}
	}
	return m.push[user]
}

func (m *model) putDevice(rt *rapid.T) {
	user, d := rapid.SampledFrom(modelUsers).Draw(rt, "user"), drawDevice(rt)
	r := m.one(m.tick(rt), PutDevice{UserID: user, Device: d})
	d.Version = r.Value
	if old, was := m.pushOf(user).devices[d.DeviceID]; was && (old.Version == d.Version) != (old.Token == d.Token) {
		rt.Fatalf("%+v became %+v", old, d)
	}
	m.pushOf(user).devices[d.DeviceID] = d
}

func (m *model) removeDevice(rt *rapid.T) {
	user, d := rapid.SampledFrom(modelUsers).Draw(rt, "user"), drawDevice(rt)
	version := rapid.SampledFrom([]uint64{0, deviceVersion(&d)}).Draw(rt, "version")
	r := m.one(m.tick(rt), RemoveDevice{UserID: user, DeviceID: d.DeviceID, Version: version})
	is, there := m.pushOf(user).devices[d.DeviceID]
	want := uint64(0)
	if there && (version == 0 || is.Token == d.Token) {
		delete(m.pushOf(user).devices, d.DeviceID)
		want = 1
	}
	if r.Value != want {
		rt.Fatalf("removing %+v of %+v gives %d", d, is, r.Value)
	}
}

func (m *model) mute(rt *rapid.T) {
	user, chat := rapid.SampledFrom(modelUsers).Draw(rt, "user"), modelChats.Draw(rt, "chat")
	until := wire.Millis(rapid.Int64Range(0, 400).Draw(rt, "until"))
	now := m.tick(rt)
	m.one(now, MuteChat{UserID: user, ChatID: chat, Until: until})
	mutes := m.pushOf(user).mutes
	mutes[chat] = until
	maps.DeleteFunc(mutes, func(_ string, until wire.Millis) bool { return until <= now })
}

// comparePush holds devices and mutes against the model.
func (m *model) comparePush(rt *rapid.T) {
	for _, user := range modelUsers {
		var want wire.PushSettings
		for _, id := range slices.Sorted(maps.Keys(m.pushOf(user).devices)) {
			want.Devices = append(want.Devices, m.pushOf(user).devices[id])
		}
		for _, chat := range slices.Sorted(maps.Keys(m.pushOf(user).mutes)) {
			want.Mutes = append(want.Mutes, wire.ChatMute{ChatID: chat, Until: m.pushOf(user).mutes[chat]})
		}
		got, err := m.store.PushSettings(user)
		if err != nil || !slices.Equal(got.Devices, want.Devices) || !slices.Equal(got.Mutes, want.Mutes) {
			rt.Fatalf("%s is to be notified by %+v, want %+v: %v", user, got, want, err)
		}
	}
}
