package wire

import (
	"errors"
	"strings"
	"testing"
)

const pushSeed = "*4\r\n$7\r\ndevices\r\n*1\r\n*8\r\n$8\r\ndeviceId\r\n$1\r\nd\r\n$8\r\nplatform\r\n$3\r\nfcm\r\n$7\r\nversion\r\n:7\r\n$5\r\ntoken\r\n$1\r\nt\r\n" +
	"$5\r\nmutes\r\n*1\r\n*4\r\n$6\r\nchatId\r\n$3\r\ntea\r\n$5\r\nuntil\r\n:9\r\n"

func TestDecodePushSettings(t *testing.T) {
	p, err := decodePushSettings(mustParse(t, pushSeed))
	if err != nil || len(p.Devices) != 1 || p.Devices[0] != (Device{DeviceID: "d", Platform: FCM, Token: "t", Version: 7}) || p.MutedUntil("tea") != 9 || p.MutedUntil("x") != 0 {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, broken := range []string{
		strings.Replace(pushSeed, ":7", ":0", 1), strings.Replace(pushSeed, "$1\r\nd\r\n", "$1\r\n@\r\n", 1), strings.Replace(pushSeed, "tea", "t@a", 1),
	} {
		if p, err := decodePushSettings(mustParse(t, broken)); !errors.Is(err, errReply) {
			t.Errorf("%q gives %+v, %v", broken, p, err)
		}
	}
}

func FuzzDecodePushSettings(f *testing.F) {
	f.Add([]byte(pushSeed))
	for _, seed := range decodeSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(string(data))
		if err != nil {
			return
		}
		p, err := decodePushSettings(r)
		if err != nil {
			return
		}
		for _, d := range p.Devices {
			if CheckID("deviceId", d.DeviceID) != nil || d.Version == 0 {
				t.Errorf("%q gives %+v", data, d)
			}
		}
	})
}

func TestCheckDevice(t *testing.T) {
	good := Device{DeviceID: "d", Platform: WebPush, Endpoint: "https://push.example/1"}
	if err := CheckDevice(&good); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*Device){
		"id": func(d *Device) { d.DeviceID = "a b" }, "platform": func(d *Device) { d.Platform = "pigeon" }, "line end": func(d *Device) { d.Token = "a\r\nb" },
		"not ASCII": func(d *Device) { d.Secret = "ä" }, "no platform": func(d *Device) { d.Platform = "" },
	} {
		d := good
		change(&d)
		if err := CheckDevice(&d); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%s: %v", what, err)
		}
	}
	large := good
	large.Token = strings.Repeat("x", MaxDeviceBytes)
	if err := CheckDevice(&large); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large: %v", err)
	}
}
