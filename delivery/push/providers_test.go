package push

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quorate/quorate/delivery/push/pushtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpen_OnlyWhatIsConfigured(t *testing.T) {
	none, err := Open(Config{})
	if err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	file, _ := vapidFileOf(t)
	two, err := Open(Config{VAPIDFile: file, WebhookHosts: []string{"*"}})
	if err != nil || two[WebPush] == nil || two[Webhook] == nil || len(two) != 2 {
		t.Errorf("%v, %v", two, err)
	}
}

func TestOpen_BadConfigurations(t *testing.T) {
	apple, google := pushtest.NewAPNS(t), pushtest.NewFCM(t)
	vapid, _ := vapidFileOf(t)
	good := Config{APNSKeyFile: apple.KeyFile, APNSKeyID: apple.KeyID, APNSTeamID: apple.TeamID, APNSTopics: []string{apple.Topic}}
	account, err := os.ReadFile(google.AccountFile)
	if err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for name, change := range map[string]func(c *Config){
		"no authorities":         func(c *Config) { c.CAFile = missing },
		"authorities of nothing": func(c *Config) { c.CAFile = vapid },
		"a bad allowed host":     func(c *Config) { c.AllowHosts = []string{"https://a"} },
		"no VAPID file":          func(c *Config) { c.VAPIDFile = missing },
		"a bad push host":        func(c *Config) { c.VAPIDFile, c.WebPushHosts = vapid, []string{"a:1"} },
		"a bad webhook host":     func(c *Config) { c.WebhookHosts = []string{"https://a"} },
		"no APNs key":            func(c *Config) { c.APNSKeyFile = missing },
		"an APNs key of JSON":    func(c *Config) { c.APNSKeyFile = vapid },
		"an RSA key for APNs":    func(c *Config) { c.APNSKeyFile = writeFile(t, rsaPEM(string(account))) },
		"a short key id":         func(c *Config) { c.APNSKeyID = "ABC" },
		"no team":                func(c *Config) { c.APNSTeamID = "" },
		"no topic":               func(c *Config) { c.APNSTopics = nil },
		"APNs by http":           func(c *Config) { c.APNSURL = "http://127.0.0.1" },
		"no FCM account":         func(c *Config) { c.FCMAccountFile = missing },
		"FCM by http":            func(c *Config) { c.FCMAccountFile, c.FCMURL = google.AccountFile, "http://127.0.0.1" },
		"broken JSON":            func(c *Config) { c.FCMAccountFile = writeFile(t, string(account)[:len(account)-2]) },
		"another kind of account": func(c *Config) {
			c.FCMAccountFile = writeFile(t, strings.Replace(string(account), "service_account", "authorized_user", 1))
		},
		"no project": func(c *Config) {
			c.FCMAccountFile = writeFile(t, strings.Replace(string(account), `"project_id":"`+google.Project, `"project_id":"`, 1))
		},
		"a token endpoint by http": func(c *Config) {
			c.FCMAccountFile = writeFile(t, strings.Replace(string(account), `"https://`, `"http://`, 1))
		},
		"a broken key": func(c *Config) {
			c.FCMAccountFile = writeFile(t, strings.Replace(string(account), "BEGIN", "BEGUN", 1))
		},
	} {
		cfg := good
		change(&cfg)
		if _, err := Open(cfg); err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), "PRIVATE") || strings.Contains(err.Error(), "MII") {
			t.Errorf("%s: the error has a key: %v", name, err)
		}
	}
	all, err := Open(good)
	if err != nil || all[APNS] == nil {
		t.Errorf("%v, %v", all, err)
	}
}

// rsaPEM takes the key out of a service account's file.
func rsaPEM(account string) string {
	_, key, _ := strings.Cut(account, `"private_key":"`)
	key, _, _ = strings.Cut(key, `"`)
	return strings.ReplaceAll(key, `\n`, "\n")
}

// TestProviders_WhatTheNetworkDoes has each provider meet a server that is away in different ways. Nothing of a device is in what is
// said of it.
func TestProviders_WhatTheNetworkDoes(t *testing.T) {
	for platform, s := range stands(t, func(c *Config) { c.Limits = ProviderLimits{Failures: 1 << 20, Timeout: time.Second} }) {
		t.Run(string(platform), func(t *testing.T) {
			t.Parallel()
			s.Down(true)
			mean(t, s.notify(t), "unavailable", "network")
			s.Down(false)
			if err := s.notify(t); err != nil {
				t.Errorf("after it came back: %v", err)
			}
			s.Slow(time.Minute)
			mean(t, s.notify(t), "unavailable", "timeout")
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			mean(t, s.Send(ctx, s.device, note()), "canceled", "")
			cancel()
			s.Slow(0)
			if err := s.notify(t); err != nil {
				t.Errorf("after it was slow: %v", err)
			}
			if got := len(s.Received()); got != 2 {
				t.Errorf("%d notifications were taken", got)
			}
			s.discreet(t)
		})
	}
}

func TestProviders_AServerWithoutATrustedCertificate(t *testing.T) {
	for platform, s := range stands(t, func(c *Config) { c.CAFile = "" }) {
		t.Run(string(platform), func(t *testing.T) {
			err := s.notify(t)
			mean(t, err, "unavailable", "certificate not trusted")
			s.discreet(t, err)
		})
	}
}

func TestProviders_NobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	ln.Close()
	hook, _ := standHook(t, func(c *Config) { c.AllowHosts = []string{nobody} })
	hook.device.Endpoint = "https://" + nobody + "/secret"
	mean(t, hook.notify(t), "unavailable", "connection refused")
}

// TestProviders_ServersThatSpeakNoHTTP bring what they say into no error and no log.
func TestProviders_ServersThatSpeakNoHTTP(t *testing.T) {
	odd := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "hello \x1b[31m injected\r\n\r\n")
		_ = rw.Flush()
	}))
	odd.StartTLS()
	defer odd.Close()
	s, _ := standHook(t, func(c *Config) { c.AllowHosts = append(c.AllowHosts, strings.TrimPrefix(odd.URL, "https://")) })
	s.device.Endpoint = odd.URL + "/secret"
	err := s.notify(t)
	mean(t, err, "unavailable", "network")
	if strings.Contains(err.Error(), "injected") {
		t.Error(err)
	}
}

// TestProviders_NoSecretIsSaid has everything go wrong that a server can say, and reads all errors and logs.
func TestProviders_NoSecretIsSaid(t *testing.T) {
	for platform, s := range stands(t, func(c *Config) { c.Limits = ProviderLimits{Failures: 2} }) {
		t.Run(string(platform), func(t *testing.T) {
			var errs []error
			for _, status := range []int{302, 400, 401, 403, 404, 410, 413, 429, 500, 503} {
				echo := fmt.Sprint(s.secrets, s.device.Endpoint, s.device.Token) // a server may repeat what it was sent
				s.Script(pushtest.Answer{Status: status, Body: `{"reason":"` + echo + `","error":{"status":"` + echo + `"}}`, Location: "https://x/" + s.secrets[0]})
				errs = append(errs, s.notify(t))
			}
			broken := *s.device
			broken.Endpoint, broken.Token = broken.Endpoint+"\n", broken.Token+"\n"
			errs = append(errs, s.Check(t.Context(), &broken), s.Send(t.Context(), &broken, note()))
			s.said.logger().Info("a device", "device", s.device, "value", *s.device)
			errs = append(errs, fmt.Errorf("%v %+v %#v %s", s.device, *s.device, *s.device, s.device))
			s.discreet(t, errs...)
		})
	}
}

// discreet fails for a secret in the log or in an error.
func (s *stand) discreet(t *testing.T, errs ...error) {
	t.Helper()
	text := s.said.String()
	for _, err := range errs {
		text += fmt.Sprintf("\n%v %+v", err, err)
	}
	for _, secret := range append(s.secrets, "PRIVATE KEY", "eyJ") {
		if strings.Contains(text, secret) {
			t.Errorf("it says %.30q: %.2000s", secret, text)
		}
	}
	if words := note().Text; strings.Contains(text, words) {
		t.Errorf("it says a message's text: %s", text)
	}
}

func TestProviders_DryRun(t *testing.T) {
	for platform, s := range stands(t, func(c *Config) { c.DryRun = true }) {
		t.Run(string(platform), func(t *testing.T) {
			if err := s.notify(t); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"would be sent", "user=alice", "device=d1", "message=tea:7", "count=3", note().CollapseKey} {
				if !strings.Contains(s.said.String(), want) {
					t.Errorf("%q is not in the log: %s", want, s.said)
				}
			}
			if len(s.Received()) > 0 || platform != FCM && s.Requests() > 0 {
				t.Errorf("%d notifications were taken in %d requests", len(s.Received()), s.Requests())
			}
			s.discreet(t)
			bad := *s.device
			bad.Endpoint, bad.Token = "http://127.0.0.1/", ""
			if Outcome(s.Send(t.Context(), &bad, note())) != "rejected" {
				t.Error("a dry run takes what would be refused")
			}
		})
	}
	s, server := standFCM(t, func(c *Config) { c.DryRun = true })
	if err := s.notify(t); err != nil || server.Validated() != 1 {
		t.Errorf("FCM validated %d, %v", server.Validated(), err)
	}
	server.Uninstall(s.device.Token)
	mean(t, s.notify(t), "gone", "UNREGISTERED")
}

func TestProviders_ManyAtOnce(t *testing.T) {
	for platform, s := range stands(t) {
		t.Run(string(platform), func(t *testing.T) {
			const many = 200
			done := make(chan error, many)
			for range many {
				go func() { done <- s.Send(within(t), s.device, note()) }()
			}
			taken := 0
			for range many {
				if err := <-done; err == nil {
					taken++
				} else if Outcome(err) != "retry" {
					t.Error(err)
				}
			}
			if got := len(s.Received()); got != taken || taken < 64 {
				t.Errorf("%d were taken, %d came", taken, got)
			}
			if faults := s.Faults(); len(faults) > 0 {
				t.Errorf("%q", faults)
			}
		})
	}
}
