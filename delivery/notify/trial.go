package notify

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/delivery/push"
	"github.com/quorate/quorate/sequencer/wire"
)

// Tested is what became of a trial at one device. Err is nil, or as push.Provider's Send gives it.
type Tested struct {
	Device wire.Device
	Err    error
}

// devices gives those of a user. *wire.Client is one who does.
type devices interface {
	PushSettings(ctx context.Context, userID string) (wire.PushSettings, error)
}

// Test sends a notification to all devices of a user, muted ones too. It is about no message, and removes no device.
func Test(ctx context.Context, of devices, providers map[push.Platform]push.Provider, user string) (tested []Tested, err error) {
	settings, err := of.PushSettings(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("read the devices of %s: %w", user, err)
	}
	for _, d := range settings.Devices {
		n := &push.Notification{
			ChatID: "test", ChatName: "Quorate", Text: "This is a test.", MessageID: "test:1", Seq: 1, FirstSeq: 1, Count: 1, Badge: 1,
			CollapseKey: collapseKey(user, "test"), SentAt: time.Now(),
		}
		t := Tested{Device: d, Err: fmt.Errorf("%w: there is no provider for %s here", push.ErrUnavailable, d.Platform)}
		if provider := providers[push.Platform(d.Platform)]; provider != nil {
			t.Err = provider.Send(ctx, deviceOf(user, &d), n)
		}
		tested = append(tested, t)
	}
	return tested, nil
}
