package notify

import (
	"crypto/sha256"
	"encoding/base64"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/quorate/quorate/delivery/push"
	"github.com/quorate/quorate/sequencer/wire"
)

// notice is what one user is to be told of one chat. It goes to each of his devices, until that has accepted what is newest; messages
// that come meanwhile change it, and make no other.
type notice struct {
	chat    *chat
	user    string
	seq     wire.Seq    // the newest message that he is to be told of
	since   wire.Millis // when the oldest of those that it is about was sent
	entry   *entry
	looked  time.Time // when facts was read; zero: it is not there
	facts   facts
	targets []*target   // one for each device
	owedAt  wire.Millis // when the oldest message was sent that it was prolonged for last
	open    int         // look-ups and sends under way
	failed  int         // look-ups in a row
	alarm   *alarm      // for the next look-up
	over    bool        // it is given up
	done    bool        // it is settled: nothing is done for it any more
}

// target is one device of a notice.
type target struct {
	device   wire.Device
	accepted wire.Seq    // what the device's provider has accepted, or never will
	since    wire.Millis // when the oldest message was sent that it has not accepted; 0 where it has all
	tries    int
	busy     bool   // it is under way
	alarm    *alarm // for the next try
}

// noticeKey names a notice.
type noticeKey struct{ chat, user string }

// facts is what a notification says beside the message, and whether there is to be one.
type facts struct {
	devices   []wire.Device // to which it may go now
	name      string        // of the chat
	delivered wire.Seq
	badge     int
	gone      bool // the user is no member any more, or the chat is muted, or there is no device
}

// message is what is sent to a device now.
func (o *notice) message(text bool) push.Notification {
	n := o.chat.foreign(o.user)
	first := max(o.facts.delivered, o.chat.delivered(o.user)) + 1
	if m := o.chat.mark(o.user); m != nil && m.own >= first && m.own < n.seq {
		first = m.own + 1 // he was there when he wrote that
	}
	first = min(first, n.seq)
	p := push.Notification{
		ChatID: o.chat.id, ChatName: o.facts.name, SenderID: n.sender, MessageID: o.chat.id + ":" + strconv.FormatUint(uint64(n.seq), 10),
		Seq: uint64(n.seq), FirstSeq: uint64(first), Count: int(n.seq - first + 1), Badge: o.facts.badge, CollapseKey: collapseKey(o.user, o.chat.id),
		SentAt: time.UnixMilli(int64(n.sentAt)),
	}
	if text {
		p.Text = n.text
	}
	return p
}

// delivered is how far a member is known to be.
func (c *chat) delivered(user string) wire.Seq {
	if m := c.mark(user); m != nil {
		return m.delivered
	}
	return 0
}

// collapseKey is the same for all notifications of a chat to a user: 32 characters, as many as Web Push allows.
func collapseKey(user, chatID string) string {
	sum := sha256.Sum256([]byte(user + "\x00" + chatID))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// backoff is how long to wait before try n+1: from a second on twice as long each time, and anything down to half of that.
func backoff(n int, most time.Duration) time.Duration {
	d := min(time.Second<<min(n, 16), most)
	return d/2 + rand.N(d/2+1)
}

// deviceOf is a device as providers know it.
func deviceOf(user string, d *wire.Device) *push.Device {
	return &push.Device{
		UserID: user, DeviceID: d.DeviceID, Platform: push.Platform(d.Platform), Endpoint: d.Endpoint, P256DH: d.P256DH, Auth: d.Auth,
		Token: d.Token, Topic: d.Topic, Secret: d.Secret,
	}
}
