package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/delivery/push"
	"github.com/quorate/quorate/sequencer/wire"
)

// judge is a provider that takes tokens that do not begin with an x.
type judge struct{ sent []string }

func (j *judge) Close() error { return nil }

func (j *judge) Check(_ context.Context, d *push.Device) error {
	if strings.HasPrefix(d.Token, "x") {
		return fmt.Errorf("%w: the token begins with x", push.ErrBadDevice)
	}
	return nil
}

func (j *judge) Send(_ context.Context, d *push.Device, n *push.Notification) error {
	j.sent = append(j.sent, d.DeviceID+" "+n.ChatID)
	if d.Token == "gone" {
		return push.ErrGone
	}
	return nil
}

func TestAdmission_SaysWhatIsWrong(t *testing.T) {
	admit := Admission(map[push.Platform]push.Provider{push.FCM: &judge{}, push.Webhook: &judge{}})
	for _, c := range []struct {
		device wire.Device
		want   string
	}{
		{wire.Device{Platform: wire.FCM, Token: "t"}, ""},
		{wire.Device{Platform: wire.FCM, Token: "xt"}, "ERR: the token begins with x"},
		{wire.Device{Platform: wire.APNs, Token: "t"}, "ERR: this service sends no notifications to the platform apns"},
	} {
		err := admit(t.Context(), "ann", &c.device)
		if c.want == "" && err == nil {
			continue
		}
		if !errors.Is(err, wire.ErrBadRequest) || err.Error() != c.want {
			t.Errorf("%+v: %v", c.device, err)
		}
	}
	hook := wire.Device{Platform: wire.Webhook}
	if err := admit(t.Context(), "ann", &hook); err != nil || !strings.HasPrefix(hook.Secret, "whsec_") || wire.CheckDevice(&wire.Device{DeviceID: "d", Platform: wire.Webhook, Secret: hook.Secret}) != nil {
		t.Errorf("a webhook without a secret gets %q, %v", hook.Secret, err)
	}
	mine := wire.Device{Platform: wire.Webhook, Secret: "my own"}
	if err := admit(t.Context(), "ann", &mine); err != nil || mine.Secret != "my own" {
		t.Errorf("one with a secret has %q, %v", mine.Secret, err)
	}
}

func TestTest_TriesEveryDevice(t *testing.T) {
	cluster := &fakeCluster{settings: map[string]wire.PushSettings{"ann": {Devices: []wire.Device{
		{DeviceID: "a", Platform: wire.FCM, Token: "t"},
		{DeviceID: "b", Platform: wire.FCM, Token: "gone"},
		{DeviceID: "c", Platform: wire.WebPush},
		{DeviceID: "d", Platform: wire.FCM, Token: "t", MutedUntil: 1 << 50},
	}}}}
	tested, err := Test(t.Context(), cluster, map[push.Platform]push.Provider{push.FCM: &judge{}}, "ann")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range tested {
		got = append(got, d.Device.DeviceID+" "+push.Outcome(d.Err))
	}
	if want := "a taken, b gone, c unavailable, d taken"; strings.Join(got, ", ") != want || len(cluster.removed) != 0 {
		t.Errorf("got %q, want %q", got, want)
	}
}
