package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// listDevices tells which of the caller's devices get notifications, and which chats he has muted.
func (s *Server) listDevices(ctx context.Context, c *call) error {
	p, err := s.seq.PushSettings(ctx, c.user)
	if err != nil {
		return readFault(err)
	}
	body := []byte(`{"devices":[`)
	for i := range p.Devices {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(appendDevice(body, &p.Devices[i]), '}')
	}
	body = append(body, `],"mutedChats":[`...)
	first := true
	now := wire.Millis(s.now().UnixMilli())
	for _, m := range p.Mutes {
		if m.Until <= now {
			continue
		}
		if !first {
			body = append(body, ',')
		}
		first = false
		body = appendMute(body, m)
	}
	writeJSON(c.w, http.StatusOK, append(body, "]}"...))
	return nil
}

// putDevice keeps a device of the caller. What it is sent to is judged now, and again with each notification.
func (s *Server) putDevice(ctx context.Context, c *call) error {
	f, err := s.body(c)
	if err != nil {
		return err
	}
	d := f.device(c.arg)
	if f.err != nil {
		return f.err
	}
	made, err := s.admitDevice(ctx, c.user, &d)
	if err != nil {
		return err
	}
	_, err = s.seq.PutDevice(ctx, c.user, d)
	if errors.Is(err, wire.ErrTooLarge) && wire.CheckDevice(&d) == nil {
		return refuse(codeBadRequest, fmt.Sprintf("a user has at most %d devices: remove one first", wire.MaxDevices))
	}
	if err != nil {
		return err
	}
	body := appendDevice(nil, &d)
	if made {
		body = appendText(body, "secret", d.Secret)
	}
	writeJSON(c.w, http.StatusOK, append(body, '}'))
	return nil
}

// admitDevice has a device judged. One that is put again keeps the secret that it has; made tells that it has got a new one, which is
// told to its user this once.
func (s *Server) admitDevice(ctx context.Context, user string, d *wire.Device) (made bool, err error) {
	if err := wire.CheckDevice(d); err != nil {
		return false, err
	}
	if s.cfg.AdmitDevice == nil {
		return false, refuse(codeBadRequest, "this service sends no notifications")
	}
	if d.Secret == "" {
		if d.Secret, err = s.oldSecret(ctx, user, d); err != nil {
			return false, readFault(err)
		}
	}
	had := d.Secret != ""
	err = s.cfg.AdmitDevice(ctx, user, d)
	return !had && d.Secret != "", err
}

// oldSecret is that of the same device, "" where it has none.
func (s *Server) oldSecret(ctx context.Context, user string, d *wire.Device) (string, error) {
	p, err := s.seq.PushSettings(ctx, user)
	for _, old := range p.Devices {
		if old.DeviceID == d.DeviceID && old.Platform == d.Platform && old.Endpoint == d.Endpoint {
			return old.Secret, nil
		}
	}
	return "", err
}

func (s *Server) removeDevice(ctx context.Context, c *call) error {
	if _, err := s.seq.RemoveDevice(ctx, c.user, c.arg, 0); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// muteChat says until when the caller wants no notifications of one of his chats.
func (s *Server) muteChat(ctx context.Context, c *call) error {
	f, err := s.body(c)
	if err != nil {
		return err
	}
	until := f.time("until")
	if until == 0 {
		f.fail("until is missing")
	}
	if f.err != nil {
		return f.err
	}
	if _, err := s.seq.GetChat(ctx, c.arg, c.user); err != nil {
		return readFault(err)
	}
	err = s.seq.MuteChat(ctx, c.user, c.arg, until)
	if errors.Is(err, wire.ErrTooLarge) {
		return refuse(codeBadRequest, fmt.Sprintf("a user has at most %d muted chats", wire.MaxMutes))
	}
	if err != nil {
		return err
	}
	writeJSON(c.w, http.StatusOK, appendMute(nil, wire.ChatMute{ChatID: c.arg, Until: until}))
	return nil
}

// unmuteChat takes back muteChat, for a chat that the caller has left too.
func (s *Server) unmuteChat(ctx context.Context, c *call) error {
	if err := s.seq.MuteChat(ctx, c.user, c.arg, 0); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// device reads a device as PUT /me/devices/{deviceId} has it. The keys of a Web Push subscription may be in an object keys, as
// browsers give them.
func (f *fields) device(id string) wire.Device {
	keys := f
	if v, ok := f.find("keys", jsonObject); ok {
		obj, err := parseObject(v.raw)
		f.check(err)
		keys = &fields{obj: obj}
	}
	d := wire.Device{
		DeviceID: id, Platform: wire.Platform(f.str("platform")), Endpoint: f.str("endpoint"), P256DH: keys.str("p256dh"), Auth: keys.str("auth"),
		Token: f.str("token"), Topic: f.str("topic"), Secret: f.str("secret"), MutedUntil: f.time("mutedUntil"),
	}
	f.check(keys.err)
	return d
}

// time returns a point in time, 0 where it is absent.
func (f *fields) time(key string) wire.Millis {
	v, ok := f.find(key, jsonString)
	if !ok {
		return 0
	}
	at, err := time.Parse(time.RFC3339Nano, v.str)
	if err != nil || at.UnixMilli() <= 0 {
		f.fail("%s must be a time as in RFC 3339, after 1970", key)
		return 0
	}
	return wire.Millis(at.UnixMilli())
}

// appendDevice appends what a user is told of a device, without the last brace: nothing that it could be sent to with.
func appendDevice(dst []byte, d *wire.Device) []byte {
	dst = appendJSONString(append(dst, `{"deviceId":`...), d.DeviceID)
	dst = appendText(dst, "platform", string(d.Platform))
	return appendTime(dst, "mutedUntil", d.MutedUntil)
}

func appendMute(dst []byte, m wire.ChatMute) []byte {
	dst = appendJSONString(append(dst, `{"chatId":`...), m.ChatID)
	return append(appendTime(dst, "until", m.Until), '}')
}
