package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/delivery/notify"
	"github.com/quorate/quorate/delivery/push"
	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

func (a *app) pushCommand() *cobra.Command {
	subject := ""
	vapid := &cobra.Command{
		Use: "vapid --push-vapid-file FILE", Short: "Print the public key of Web Push; make the key where there is none", Args: exactly(0),
		Long: "Print the public key of Web Push, which pages subscribe with. Where FILE is not there a key is made, for which --subject says\n" +
			"who runs this: a mailto: or https: address. Who loses the key loses all subscriptions.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runVAPID(cmd, subject) },
	}
	vapid.Flags().StringVar(&subject, "subject", "", "mailto: or https: address of the operator, for a new key")
	test := &cobra.Command{
		Use: "test --user USER", Short: "Send a notification to all devices of a user, now", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runPushTest(cmd) },
	}
	a.bind(test.Flags(), "push-test")
	cmd := parent("push", "Notifications: the key of Web Push, and whether they arrive", vapid, test)
	a.bind(cmd.PersistentFlags(), "push")
	return cmd
}

// pushing is the part of a node that has users told who are away. The zero value sends nothing.
type pushing struct {
	providers map[push.Platform]push.Provider
	notifier  *notify.Notifier // nil where this node is none, or where there is no provider
}

// check tells whether notifications could be sent like this, as far as that needs no disk.
func (c *PushConfig) check() error {
	if c.Grace <= 0 || c.TTL <= 0 {
		return usagef("--push-grace and --push-ttl must be above 0")
	}
	if err := push.CheckHosts(slices.Concat(c.WebPushHosts, c.WebhookHosts), c.AllowHosts); err != nil {
		return usagef("%w", err)
	}
	return nil
}

// providers opens what the configuration has keys for.
func (c *PushConfig) providers(logger *slog.Logger) (map[push.Platform]push.Provider, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	config := push.Config{
		VAPIDFile: c.VAPIDFile, APNSKeyFile: c.APNSKey, APNSKeyID: c.APNSKeyID, APNSTeamID: c.APNSTeamID, APNSTopics: c.APNSTopics, APNSURL: c.APNSURL,
		FCMAccountFile: c.FCMAccount, FCMURL: c.FCMURL, WebhookHosts: c.WebhookHosts, AllowHosts: c.AllowHosts, CAFile: c.CAFile,
		TTL: c.TTL, DryRun: c.DryRun, Log: logger,
	}
	if len(c.WebPushHosts) > 0 {
		config.WebPushHosts = c.WebPushHosts
	}
	return push.Open(config)
}

// open opens the providers, and where notifies is set and there is one a notifier.
func (c *PushConfig) open(config notify.Config, notifies bool) (*pushing, error) {
	providers, err := c.providers(config.Logger)
	if err != nil {
		return nil, err
	}
	p := &pushing{providers: providers}
	if len(providers) == 0 || !notifies {
		return p, nil
	}
	config.Providers, config.Text, config.Badge = providers, c.Text, c.Badge
	config.Limits.Grace = c.Grace
	if p.notifier, err = notify.Open(config); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// admit judges devices for an edge; nil where no notifications are sent at all.
func (p *pushing) admit() func(ctx context.Context, user string, d *wire.Device) error {
	if len(p.providers) == 0 {
		return nil
	}
	return notify.Admission(p.providers)
}

// close hands the notifier's groups over, and then closes the providers.
func (p *pushing) close() error {
	if p == nil {
		return nil
	}
	var errs []error
	if p.notifier != nil {
		errs = append(errs, p.notifier.Close())
	}
	for _, provider := range p.providers {
		errs = append(errs, provider.Close())
	}
	return errors.Join(errs...)
}

// runVAPID prints the public key in a file, which it makes where there is none.
func (a *app) runVAPID(cmd *cobra.Command, subject string) error {
	file := a.config.Push.VAPIDFile
	if file == "" {
		return usagef("name the file of the key: --push-vapid-file FILE")
	}
	key, err := push.LoadVAPID(file)
	if errors.Is(err, fs.ErrNotExist) {
		if subject == "" {
			return usagef("there is no key in %s; to make one, say who runs this: --subject mailto:ADDRESS", file)
		}
		if key, err = push.GenerateVAPID(subject); err == nil {
			err = key.Save(file)
		}
	}
	if err != nil {
		return err
	}
	return a.print(cmd.OutOrStdout(), map[string]string{"publicKey": key.PublicKey, "subject": key.Subject, "file": file},
		[]string{"PUBLIC KEY", "SUBJECT", "FILE"}, [][]string{{key.PublicKey, key.Subject, file}})
}

// pushTestTime bounds quorate push test.
const pushTestTime = 30 * time.Second

// pushTested is what became of a test at one device.
type pushTested struct {
	DeviceID string `json:"deviceId"`
	Platform string `json:"platform"`
	Outcome  string `json:"outcome"` // as in metrics; muted devices are tested too
	Detail   string `json:"detail,omitempty"`
}

// runPushTest sends a notification to all devices of a user. It is an error when none of them took it.
func (a *app) runPushTest(cmd *cobra.Command) error {
	c := &a.config.PushTest
	if err := wire.CheckID("--user", c.User); err != nil {
		return usagef("%s", detail(err))
	}
	providers, err := a.config.Push.providers(a.logger(cmd.ErrOrStderr(), slog.LevelInfo))
	if err != nil {
		return err
	}
	p := &pushing{providers: providers}
	client, err := operatorClient(c.Sequencers, c.Username, c.PasswordFile, trust.Files{CA: c.TLSCA, Cert: c.TLSCert, Key: c.TLSKey})
	if err != nil {
		return errors.Join(err, p.close())
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), pushTestTime)
	defer cancel()
	tested, err := notify.Test(ctx, client, providers, c.User)
	if err = errors.Join(err, client.Close(), p.close()); err != nil {
		return err
	}
	return a.printTested(cmd, tested)
}

func (a *app) printTested(cmd *cobra.Command, tested []notify.Tested) error {
	var list []pushTested
	var rows [][]string
	taken := 0
	for _, t := range tested {
		line := pushTested{DeviceID: t.Device.DeviceID, Platform: string(t.Device.Platform), Outcome: push.Outcome(t.Err)}
		if t.Err == nil {
			taken++
		} else {
			line.Detail = t.Err.Error()
		}
		list = append(list, line)
		rows = append(rows, []string{line.DeviceID, line.Platform, line.Outcome, line.Detail})
	}
	if err := a.print(cmd.OutOrStdout(), list, []string{"DEVICE", "PLATFORM", "OUTCOME", "DETAIL"}, rows); err != nil {
		return err
	}
	if taken == 0 {
		return fmt.Errorf("no device of %s took a notification", a.config.PushTest.User)
	}
	return nil
}
