package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/quorate/quorate/delivery/push"
	"github.com/quorate/quorate/sequencer/wire"
)

// Admission judges devices that users register, with the providers that will send to them: it is for delivery.Config. A webhook without a
// secret gets one. What is wrong with a device wraps wire.ErrBadRequest.
func Admission(providers map[push.Platform]push.Provider) func(ctx context.Context, user string, d *wire.Device) error {
	return func(ctx context.Context, user string, d *wire.Device) error {
		provider := providers[push.Platform(d.Platform)]
		if provider == nil {
			return fmt.Errorf("%w: this service sends no notifications to the platform %s", wire.ErrBadRequest, d.Platform)
		}
		err := provider.Check(ctx, deviceOf(user, d))
		if errors.Is(err, push.ErrBadDevice) {
			return fmt.Errorf("%w: %s", wire.ErrBadRequest, strings.TrimPrefix(err.Error(), push.ErrBadDevice.Error()+": "))
		}
		if err == nil && d.Platform == wire.Webhook && d.Secret == "" {
			d.Secret = push.NewWebhookSecret()
		}
		return err
	}
}
