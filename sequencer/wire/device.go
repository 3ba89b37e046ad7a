package wire

import "fmt"

// The limits of what one user's group holds for push notifications.
const (
	MaxDevices     = 16
	MaxMutes       = 256  // chats of one user that are muted at the same time
	MaxDeviceBytes = 4096 // of all texts of one device
)

// Platform says which service brings notifications to a device, or that a webhook does.
type Platform string

// The platforms.
const (
	WebPush Platform = "webpush" // Endpoint, P256DH and Auth of a PushSubscription
	APNs    Platform = "apns"    // Token, and the Topic of its app
	FCM     Platform = "fcm"     // Token
	Webhook Platform = "webhook" // Endpoint, and the Secret that its requests are signed with
)

// Device is one of a user's devices that is to get notifications. Which fields are set depends on the platform.
type Device struct {
	DeviceID   string
	Platform   Platform
	Endpoint   string
	P256DH     string
	Auth       string
	Token      string
	Topic      string
	Secret     string
	MutedUntil Millis // nothing is sent to it until then
	Version    uint64 // of what is sent to: another one when any field but MutedUntil changed; the sequencer sets it
}

// ChatMute is a chat of which a user wants no notifications until a time.
type ChatMute struct {
	ChatID string
	Until  Millis
}

// PushSettings is what a user's group knows of how he is to be notified. Devices is sorted by DeviceID, Mutes by ChatID; one
// whose time is over may still be there.
type PushSettings struct {
	Devices []Device
	Mutes   []ChatMute
}

// MutedUntil gives until when the user wants nothing of a chat, 0 where he wants all.
func (p *PushSettings) MutedUntil(chatID string) Millis {
	for _, m := range p.Mutes {
		if m.ChatID == chatID {
			return m.Until
		}
	}
	return 0
}

// texts are the fields of a device that a provider uses, in the order in which they are stored.
func (d *Device) texts() [7]string {
	return [...]string{string(d.Platform), d.Endpoint, d.P256DH, d.Auth, d.Token, d.Topic, d.Secret}
}

// CheckDevice tells whether d may be kept, as far as that does not depend on a provider: its id, a platform that is known,
// and printable ASCII of at most MaxDeviceBytes. The error wraps ErrBadRequest, or ErrTooLarge where only the size is wrong.
func CheckDevice(d *Device) error {
	if err := CheckID("deviceId", d.DeviceID); err != nil {
		return err
	}
	switch d.Platform {
	case WebPush, APNs, FCM, Webhook:
	default:
		return fmt.Errorf("%w: platform must be %s, %s, %s or %s", ErrBadRequest, WebPush, APNs, FCM, Webhook)
	}
	size := 0
	for _, text := range d.texts() {
		size += len(text)
		for i := 0; i < len(text); i++ {
			if text[i] < 0x20 || text[i] > 0x7e {
				return fmt.Errorf("%w: a device's fields must be printable ASCII", ErrBadRequest)
			}
		}
	}
	if size > MaxDeviceBytes {
		return fmt.Errorf("%w: a device has %d bytes, at most %d are allowed", ErrTooLarge, size, MaxDeviceBytes)
	}
	return nil
}
