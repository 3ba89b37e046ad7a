package push

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"
)

// The platforms.
const (
	WebPush Platform = "webpush"
	APNS    Platform = "apns"
	FCM     Platform = "fcm"
	Webhook Platform = "webhook"
)

// Config says which providers there are and how they are reached. A provider without its key is not there.
type Config struct {
	VAPIDFile string // Web Push: what GenerateVAPID made

	APNSKeyFile string   // APNs: the .p8 that Apple gave
	APNSKeyID   string   // its ten characters
	APNSTeamID  string   // the team's ten characters
	APNSTopics  []string // bundle ids that devices may have; the first is the one of a device that names none
	APNSURL     string   // default https://api.push.apple.com

	FCMAccountFile string // FCM: the service account's JSON
	FCMURL         string // default https://fcm.googleapis.com

	WebhookHosts []string // webhooks: patterns of hosts that may have one, "*" for any public host

	WebPushHosts []string // patterns of hosts that are push services; default KnownPushHosts
	AllowHosts   []string // host or host:port that devices may name whatever its address is, loopback and private ones too
	CAFile       string   // PEM of authorities that are trusted beside the system's

	TTL    time.Duration // how long a provider may keep a notification for a device that is away; default 72 h
	DryRun bool          // say what would be sent, and send nothing; FCM is asked to validate it
	Limits ProviderLimits
	Log    *slog.Logger // default slog.Default
}

// ProviderLimits bounds what one provider does. Zero is the default.
type ProviderLimits struct {
	Concurrent int           // requests under way; default 64
	PerHost    int           // of these to one host that is not in any list; default 4
	PerSecond  float64       // requests; default 500
	Burst      int           // requests at once after a rest; default 500
	Wait       time.Duration // one notification for its turn by the above; default 2 s
	Timeout    time.Duration // one request; default 5 s
	Failures   int           // in a row, after which a host is left alone; default 5
	Pause      time.Duration // for so long; default 10 s
	Hosts      int           // hosts whose state is remembered; default 1,024
}

func (l ProviderLimits) withDefaults() ProviderLimits {
	l.Concurrent = orElse(l.Concurrent, 64)
	l.PerHost = orElse(l.PerHost, 4)
	l.PerSecond = orElse(l.PerSecond, 500)
	l.Burst = orElse(l.Burst, 500)
	l.Wait = orElse(l.Wait, 2*time.Second)
	l.Timeout = orElse(l.Timeout, 5*time.Second)
	l.Failures = orElse(l.Failures, 5)
	l.Pause = orElse(l.Pause, 10*time.Second)
	l.Hosts = orElse(l.Hosts, 1024)
	return l
}

func orElse[T int | float64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	c.TTL = orElse(c.TTL, 72*time.Hour)
	if c.WebPushHosts == nil {
		c.WebPushHosts = KnownPushHosts
	}
	if c.APNSURL == "" {
		c.APNSURL = "https://api.push.apple.com"
	}
	if c.FCMURL == "" {
		c.FCMURL = "https://fcm.googleapis.com"
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// Open makes the providers that are configured, each behind its own guard. It reads keys and asks nobody. Close each.
func Open(cfg Config) (map[Platform]Provider, error) {
	cfg = cfg.withDefaults()
	roots, err := trusted(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	allowed, err := parseAllowed(cfg.AllowHosts)
	if err != nil {
		return nil, err
	}
	g := &gate{allowed: allowed, resolver: net.DefaultResolver, dial: (&net.Dialer{}).DialContext}
	all := map[Platform]Provider{}
	for _, made := range []struct {
		wanted bool
		make   func() (courier, error)
	}{
		{cfg.VAPIDFile != "", func() (courier, error) { return newWebPush(&cfg, g, roots) }},
		{cfg.APNSKeyFile != "", func() (courier, error) { return newAPNS(&cfg, roots) }},
		{cfg.FCMAccountFile != "", func() (courier, error) { return newFCM(&cfg, roots) }},
		{len(cfg.WebhookHosts) > 0, func() (courier, error) { return newWebhook(&cfg, g, roots) }},
	} {
		if !made.wanted {
			continue
		}
		c, err := made.make()
		if err != nil {
			return nil, err
		}
		all[c.platform()] = newGuard(c, cfg.Limits, cfg.Log)
	}
	return all, nil
}

// courier is a provider without its guard.
type courier interface {
	platform() Platform
	// lane names what fails together for a device, and tells whether an operator named it. An error is as Send's.
	lane(d *Device) (name string, known bool, err error)
	check(ctx context.Context, d *Device) error
	send(ctx context.Context, d *Device, n *Notification) error
	close()
}

// trusted gives the system's authorities and those of a file.
func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil // the system's
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("push: authorities: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("push: no certificate in the file of authorities")
	}
	return pool, nil
}
