package push

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/push/pushtest"
)

const patience = 20 * time.Second

// note is a notification with everything that it may have.
func note() *Notification {
	return &Notification{
		ChatID: "tea", ChatName: "Tea & biscuits", SenderID: "bob", Text: "the kettle <is> on ✓", MessageID: "tea:7", Seq: 7, FirstSeq: 5, Count: 3, Badge: 4,
		CollapseKey: "k_9-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6", SentAt: time.Date(2026, 11, 29, 12, 0, 0, 5e6, time.UTC),
	}
}

// saidLog is a log that can be read.
type saidLog struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *saidLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *saidLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

func (l *saidLog) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// open makes the one provider that is configured. Its log must know no secret of the device that stand gives.
func open(t *testing.T, cfg Config) (Provider, *saidLog) {
	t.Helper()
	said := &saidLog{}
	cfg.Log = said.logger()
	all, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("%d providers are open", len(all))
	}
	for _, p := range all {
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		return p, said
	}
	return nil, nil
}

// stand is a provider with its server and a device there.
type stand struct {
	Provider
	*pushtest.Server
	device  *Device
	secrets []string // that no error and no log may have
	said    *saidLog
}

func (s *stand) notify(t *testing.T) error {
	t.Helper()
	return s.Send(t.Context(), s.device, note())
}

func vapidFileOf(t *testing.T) (path, public string) {
	t.Helper()
	key, err := GenerateVAPID("mailto:push@example.com")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "vapid.json")
	if err := key.Save(path); err != nil {
		t.Fatal(err)
	}
	return path, key.PublicKey
}

func standWebPush(t *testing.T, change ...func(*Config)) (*stand, *pushtest.WebPush) {
	t.Helper()
	server := pushtest.NewWebPush(t)
	file, public := vapidFileOf(t)
	sub := server.Subscribe(t, public)
	cfg := Config{VAPIDFile: file, AllowHosts: []string{server.Host()}, CAFile: server.CAFile}
	apply(&cfg, change)
	p, said := open(t, cfg)
	return &stand{
		p, &server.Server, &Device{UserID: "alice", DeviceID: "d1", Platform: WebPush, Endpoint: sub.Endpoint, P256DH: sub.P256DH, Auth: sub.Auth},
		[]string{strings.TrimPrefix(sub.Endpoint, server.URL), sub.Auth, sub.P256DH},
		said,
	}, server
}

func standAPNS(t *testing.T, change ...func(*Config)) (*stand, *pushtest.APNS) {
	t.Helper()
	server := pushtest.NewAPNS(t)
	token := server.Device()
	cfg := Config{
		APNSKeyFile: server.KeyFile, APNSKeyID: server.KeyID, APNSTeamID: server.TeamID, APNSTopics: []string{server.Topic}, APNSURL: server.URL,
		CAFile: server.CAFile,
	}
	apply(&cfg, change)
	p, said := open(t, cfg)
	return &stand{p, &server.Server, &Device{UserID: "alice", DeviceID: "d1", Platform: APNS, Token: token}, []string{token}, said}, server
}

func standFCM(t *testing.T, change ...func(*Config)) (*stand, *pushtest.FCM) {
	t.Helper()
	server := pushtest.NewFCM(t)
	token := server.Device()
	cfg := Config{FCMAccountFile: server.AccountFile, FCMURL: server.URL, CAFile: server.CAFile}
	apply(&cfg, change)
	p, said := open(t, cfg)
	return &stand{p, &server.Server, &Device{UserID: "alice", DeviceID: "d1", Platform: FCM, Token: token}, []string{token, "ya29."}, said}, server
}

func standHook(t *testing.T, change ...func(*Config)) (*stand, *pushtest.Hook) {
	t.Helper()
	server := pushtest.NewHook(t)
	secret := NewWebhookSecret()
	endpoint := server.Endpoint(secret)
	cfg := Config{WebhookHosts: []string{"hooks.example.com"}, AllowHosts: []string{server.Host()}, CAFile: server.CAFile}
	apply(&cfg, change)
	p, said := open(t, cfg)
	return &stand{
		p, &server.Server, &Device{UserID: "alice", DeviceID: "d1", Platform: Webhook, Endpoint: endpoint, Secret: secret},
		[]string{strings.TrimPrefix(endpoint, server.URL), secret, strings.TrimPrefix(secret, secretPrefix)},
		said,
	}, server
}

func apply(cfg *Config, change []func(*Config)) {
	for _, c := range change {
		c(cfg)
	}
}

// stands has one of each.
func stands(t *testing.T, change ...func(*Config)) map[Platform]*stand {
	t.Helper()
	web, _ := standWebPush(t, change...)
	apple, _ := standAPNS(t, change...)
	google, _ := standFCM(t, change...)
	hook, _ := standHook(t, change...)
	return map[Platform]*stand{WebPush: web, APNS: apple, FCM: google, Webhook: hook}
}

// mean compares an error with what it should be: a word of Outcome, and a reason.
func mean(t *testing.T, err error, outcome, reason string) {
	t.Helper()
	var answer *AnswerError
	said := ""
	if errors.As(err, &answer) {
		said = answer.Reason
	}
	if Outcome(err) != outcome || said != reason {
		t.Errorf("it means %s, reason %q (%v), want %s, reason %q", Outcome(err), said, err, outcome, reason)
	}
}

func retryOf(t *testing.T, err error) *RetryError {
	t.Helper()
	var retry *RetryError
	if !errors.As(err, &retry) {
		t.Fatalf("%v says not when to try again", err)
	}
	return retry
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
