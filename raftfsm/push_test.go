package raftfsm

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

// settings reads how a user is to be notified.
func (m *machine) settings(userID string) wire.PushSettings {
	m.t.Helper()
	p, err := m.store.PushSettings(userID)
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

func fcm(id, token string) wire.Device {
	return wire.Device{DeviceID: id, Platform: wire.FCM, Token: token}
}

func TestFSM_DevicesArePutByTheirID(t *testing.T) {
	m := newMachine(t)
	results := m.do(1, PutDevice{"ann", fcm("web", "1")}, PutDevice{"ann", fcm("phone", "2")}, PutDevice{"ann", fcm("web", "3")})
	got := m.settings("ann").Devices
	if len(got) != 2 || got[0].DeviceID != "phone" || got[1].Token != "3" {
		t.Fatalf("got %+v", got)
	}
	if got[1].Version != results[2].Value || results[0].Value == results[2].Value || got[1].Version == 0 {
		t.Errorf("versions %v, want that of %+v", results, got[1])
	}
	muted := fcm("web", "3")
	muted.MutedUntil = 500
	if r := m.one(2, PutDevice{"ann", muted}); r.Value != got[1].Version {
		t.Errorf("muting a device made it another one: %+v", r)
	}
	if got := m.settings("ann").Devices[1]; got.MutedUntil != 500 {
		t.Errorf("got %+v", got)
	}
	if err := m.store.db.Flush(); err != nil {
		t.Fatal(err)
	}
	m.crash()
	if again := m.settings("ann"); len(again.Devices) != 2 {
		t.Errorf("after a crash: %+v", again)
	}
}

func TestFSM_DevicesOfAUserAreBounded(t *testing.T) {
	m := newMachine(t)
	for i := range wire.MaxDevices {
		m.one(1, PutDevice{"ann", fcm(fmt.Sprint("d", i), "x")})
	}
	if r := m.do(2, PutDevice{"ann", fcm("another", "x")})[0]; !errors.Is(r.Err, wire.ErrTooLarge) {
		t.Errorf("one too many: %+v", r)
	}
	m.one(3, PutDevice{"ann", fcm("d3", "y")})
	m.one(4, PutDevice{"bob", fcm("d3", "y")})
	large := fcm("d3", string(make([]byte, 2*wire.MaxDeviceBytes+1)))
	if r := m.do(5, PutDevice{"ann", large})[0]; !errors.Is(r.Err, wire.ErrTooLarge) {
		t.Errorf("a large one: %+v", r)
	}
	for _, id := range []string{"", "a\x00b"} {
		for _, c := range []Command{
			PutDevice{id, fcm("d", "x")},
			PutDevice{"ann", fcm(id, "x")},
			RemoveDevice{UserID: id, DeviceID: "d"},
			RemoveDevice{UserID: "ann", DeviceID: id},
			MuteChat{UserID: id, ChatID: "c"},
			MuteChat{UserID: "ann", ChatID: id},
		} {
			if r := m.do(6, c)[0]; !errors.Is(r.Err, wire.ErrBadRequest) {
				t.Errorf("%+v: %+v", c, r)
			}
		}
	}
}

// TestFSM_DeviceIsRemovedAsItWas: a device that has been put anew since is another one, and stays.
func TestFSM_DeviceIsRemovedAsItWas(t *testing.T) {
	m := newMachine(t)
	old := m.one(1, PutDevice{"ann", fcm("phone", "old")}).Value
	m.one(2, PutDevice{"ann", fcm("phone", "new")})
	for _, c := range []RemoveDevice{{"ann", "phone", old}, {"ann", "web", 0}, {"bob", "phone", 0}} {
		if r := m.one(3, c); r.Value != 0 {
			t.Errorf("%+v: %+v", c, r)
		}
	}
	if got := m.settings("ann").Devices; len(got) != 1 || got[0].Token != "new" {
		t.Fatalf("got %+v", got)
	}
	if r := m.one(4, RemoveDevice{"ann", "phone", m.settings("ann").Devices[0].Version}); r.Value != 1 {
		t.Errorf("got %+v", r)
	}
	if got := m.settings("ann"); len(got.Devices) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestFSM_MutesEnd(t *testing.T) {
	m := newMachine(t)
	m.do(10, MuteChat{"ann", "c2", 100}, MuteChat{"ann", "c1", 50}, MuteChat{"ann", "c2", 200})
	if got, want := m.settings("ann").Mutes, []wire.ChatMute{{ChatID: "c1", Until: 50}, {ChatID: "c2", Until: 200}}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	m.one(60, MuteChat{"ann", "c3", 0}) // nothing is muted by this; what is over goes
	if got, want := m.settings("ann").Mutes, []wire.ChatMute{{ChatID: "c2", Until: 200}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for i := range wire.MaxMutes - 1 {
		m.one(61, MuteChat{"ann", fmt.Sprint("x", i), 100})
	}
	if r := m.do(62, MuteChat{"ann", "more", 100})[0]; !errors.Is(r.Err, wire.ErrTooLarge) {
		t.Errorf("one too many: %+v", r)
	}
	m.one(63, MuteChat{"ann", "c2", 100})
	m.one(101, MuteChat{"ann", "more", 300})
	m.one(102, MuteChat{"ann", "more", 0})
	if got := m.settings("ann"); len(got.Mutes) != 0 {
		t.Errorf("left %+v", got)
	}
}
