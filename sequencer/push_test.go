package sequencer_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

func TestDevices_AreDurableAndRemovedAsTheyWere(t *testing.T) {
	c := sequencertest.Start(t, 3, 2)
	client, ctx := c.Client(), t.Context()
	phone := wire.Device{DeviceID: "phone", Platform: wire.APNs, Token: "00ff", Topic: "com.example.app"}
	web := wire.Device{
		DeviceID: "web", Platform: wire.WebPush, Endpoint: "https://push.example/1", P256DH: "BKey", Auth: "auth", Secret: "s3cret", MutedUntil: 4102444800000,
	}
	for _, d := range []*wire.Device{&web, &phone} {
		version, err := client.PutDevice(ctx, "ann", *d)
		if err != nil || version == 0 {
			t.Fatalf("%s: %d, %v", d.DeviceID, version, err)
		}
		d.Version = version
	}
	if err := client.MuteChat(ctx, "ann", "tea", 4102444800000); err != nil {
		t.Fatal(err)
	}
	want := wire.PushSettings{Devices: []wire.Device{phone, web}, Mutes: []wire.ChatMute{{ChatID: "tea", Until: 4102444800000}}}
	c.Kill(c.Leader(wire.GroupOf(wire.SlotOf("ann"), 2)))
	if got, err := client.PushSettings(ctx, "ann"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after the leader has died: %+v, want %+v: %v", got, want, err)
	}
	newer := phone
	newer.Token = "ff00"
	if _, err := client.PutDevice(ctx, "ann", newer); err != nil {
		t.Fatal(err)
	}
	if removed, err := client.RemoveDevice(ctx, "ann", "phone", phone.Version); removed || err != nil {
		t.Errorf("a device that has been put anew: removed %v, %v", removed, err)
	}
	if removed, err := client.RemoveDevice(ctx, "ann", "web", web.Version); !removed || err != nil {
		t.Errorf("the device that it was: removed %v, %v", removed, err)
	}
	if removed, err := client.RemoveDevice(ctx, "ann", "web", 0); removed || err != nil {
		t.Errorf("a device that is gone: removed %v, %v", removed, err)
	}
	if got, err := client.PushSettings(ctx, "ann"); err != nil || len(got.Devices) != 1 || got.Devices[0].Token != "ff00" {
		t.Errorf("left: %+v, %v", got, err)
	}
}

func TestDevices_OverTheBoundAreRefused(t *testing.T) {
	client, ctx := sequencertest.Start(t, 1, 1).Client(), t.Context()
	for i := range wire.MaxDevices {
		if _, err := client.PutDevice(ctx, "ann", wire.Device{DeviceID: fmt.Sprint("d", i), Platform: wire.FCM, Token: "t"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.PutDevice(ctx, "ann", wire.Device{DeviceID: "one-more", Platform: wire.FCM, Token: "t"}); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("one too many: %v", err)
	}
	for what, d := range map[string]wire.Device{
		"no id": {Platform: wire.FCM}, "no platform": {DeviceID: "d"}, "a line end": {DeviceID: "d", Platform: wire.FCM, Token: "a\nb"},
	} {
		if _, err := client.PutDevice(ctx, "ann", d); !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := client.PutDevice(ctx, "bob", wire.Device{DeviceID: "d", Platform: wire.FCM, Token: strings.Repeat("x", wire.MaxDeviceBytes)}); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("a large one: %v", err)
	}
}

func TestDevices_WrongWordsAreRefused(t *testing.T) {
	c := dial(t, openNode(t, func(cfg *sequencer.Config) { cfg.Groups = 1 }).RESPAddr())
	works(t, c.settled("USER.DEVICES", "ann"))
	for _, command := range []string{
		"USER.DEVICES", "USER.DEVICES a/b", "USER.DEVICES ann NOW", "USER.DEVICES ann PUT", "USER.DEVICES ann PUT d", "USER.DEVICES ann PUT d/ fcm",
		"USER.DEVICES ann PUT d pigeon", "USER.DEVICES ann PUT d fcm TOKEN", "USER.DEVICES ann PUT d fcm TOKEN a TOKEN b", "USER.DEVICES ann PUT d fcm COLOUR red",
		"USER.DEVICES ann PUT d fcm MUTED soon", "USER.DEVICES ann PUT d fcm TOKEN ä", "USER.DEVICES ann REMOVE", "USER.DEVICES ann REMOVE d VERSION",
		"USER.DEVICES ann REMOVE d VERSION 0", "USER.DEVICES ann REMOVE d 7", "USER.MUTE ann tea", "USER.MUTE ann t@a 1", "USER.MUTE ann tea -1",
	} {
		failsWith(t, c.do(strings.Fields(command)...), "ERR")
	}
}
