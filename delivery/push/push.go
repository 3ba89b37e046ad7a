// Package push tells users who are not there of messages that wait for them: Web Push, APNs, FCM and signed webhooks behind one
// interface.
package push

import (
	"context"
	"time"
)

// Platform of a device, as API.md names it.
type Platform string // "webpush", "apns", "fcm", "webhook"

// Device is where one device of a user can be reached. Which fields are set follows from Platform.
type Device struct {
	UserID, DeviceID string
	Platform         Platform
	Endpoint         string // webpush, webhook: URL
	P256DH, Auth     string // webpush: keys of the subscription, base64url
	Token            string // apns, fcm
	Topic            string // apns: the app's bundle id
	Secret           string // webhook: HMAC key, made by the server at registration or given
}

// Notification tells one device that messages of one chat wait for its user.
type Notification struct {
	ChatID, ChatName string
	SenderID         string
	Text             string    // newest message's text; "" where the operator wants no text to leave
	MessageID        string    // newest
	Seq, FirstSeq    uint64    // newest and oldest message that it covers
	Count            int       // messages it covers
	Badge            int       // unread of the user, all chats
	CollapseKey      string    // the same for every repetition about the same chat and user; at most 32 bytes url-safe base64 (Web Push Topic limit)
	SentAt           time.Time // of the newest message
}

// Provider takes notifications for one platform. Safe for concurrent use.
type Provider interface {
	// Check says whether a device can be one of this provider's at all, before it is registered: ErrBadDevice, wrapped, with the reason.
	Check(ctx context.Context, d *Device) error
	// Send returns nil when the provider has taken responsibility. Errors: ErrGone (remove the device), *RetryError (with After), ErrRejected (this notification never will be taken, go on), ErrUnavailable (breaker open, network).
	Send(ctx context.Context, d *Device, n *Notification) error
	Close() error
}
