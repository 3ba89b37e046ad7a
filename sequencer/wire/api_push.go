package wire

import "context"

// PushSettings reads how a user is to be notified.
func (c *Client) PushSettings(ctx context.Context, userID string) (PushSettings, error) {
	return call(ctx, c, userID, decodePushSettings, "USER.DEVICES", userID)
}

// PutDevice keeps a device of a user in place of the one with its id, and gives its version. A user has at most MaxDevices; one
// more is ErrTooLarge. The device's own Version is not looked at.
func (c *Client) PutDevice(ctx context.Context, userID string, d Device) (version uint64, err error) {
	if err := CheckDevice(&d); err != nil {
		return 0, err
	}
	n, err := call(ctx, c, userID, decodeRisen[Offset], putDeviceArgs(userID, &d)...)
	return uint64(n), err
}

// RemoveDevice forgets a device of a user; where version is not 0, only if that is still its version. removed tells whether there
// was one.
func (c *Client) RemoveDevice(ctx context.Context, userID, deviceID string, version uint64) (removed bool, err error) {
	args := []string{"USER.DEVICES", userID, "REMOVE", deviceID}
	if version > 0 {
		args = append(args, "VERSION", utoa(version))
	}
	n, err := call(ctx, c, userID, decodeRisen[Offset], args...)
	return n == 1, err
}

// MuteChat says until when a user wants no notifications of a chat; 0 is that he wants them.
func (c *Client) MuteChat(ctx context.Context, userID, chatID string, until Millis) error {
	_, err := call(ctx, c, userID, decodeRisen[Millis], "USER.MUTE", userID, chatID, utoa(uint64(max(0, until))))
	return err
}

func putDeviceArgs(userID string, d *Device) []string {
	args := []string{"USER.DEVICES", userID, "PUT", d.DeviceID, string(d.Platform)}
	for _, f := range []struct{ word, value string }{
		{"ENDPOINT", d.Endpoint}, {"P256DH", d.P256DH}, {"AUTH", d.Auth}, {"TOKEN", d.Token}, {"TOPIC", d.Topic}, {"SECRET", d.Secret},
	} {
		if f.value != "" {
			args = append(args, f.word, f.value)
		}
	}
	if d.MutedUntil > 0 {
		args = append(args, "MUTED", utoa(uint64(d.MutedUntil)))
	}
	return args
}

func decodePushSettings(r Reply) (PushSettings, error) {
	f := fields{Reply: r}
	var p PushSettings
	for _, e := range f.list("devices") {
		d := fields{Reply: e}
		p.Devices = append(p.Devices, Device{
			DeviceID: d.id("deviceId"), Platform: Platform(d.str("platform")), MutedUntil: d.millis("mutedUntil"), Version: d.must("version"),
			Endpoint: d.str("endpoint"), P256DH: d.str("p256dh"), Auth: d.str("auth"), Token: d.str("token"), Topic: d.str("topic"), Secret: d.str("secret"),
		})
		if d.err != nil {
			return PushSettings{}, d.err
		}
	}
	for _, e := range f.list("mutes") {
		m := fields{Reply: e}
		p.Mutes = append(p.Mutes, ChatMute{ChatID: m.id("chatId"), Until: m.millis("until")})
		if m.err != nil {
			return PushSettings{}, m.err
		}
	}
	return p, f.err
}
