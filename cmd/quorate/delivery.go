package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/delivery"
	"github.com/quorate/quorate/delivery/notify"
	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

func (a *app) deliveryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delivery", Short: "Run a delivery node", Args: exactly(0),
		Long: "Run a delivery node: clients' connections (edge), the feeds that reach them (hub), and notifications for users who\n" +
			"are away (notifier). It holds nothing that must survive. Prints ready when it serves.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDelivery(cmd) },
	}
	a.bind(cmd.Flags(), "delivery")
	a.bind(cmd.Flags(), "push")
	return cmd
}

// check tells whether a node could start like this, as far as that needs no network and no disk.
func (c *DeliveryConfig) check() error {
	if len(c.Sequencers) == 0 {
		return usagef("--sequencers is missing: name the RESP address of at least one sequencer node")
	}
	for _, addr := range c.Sequencers {
		if err := checkNodeAddr("--sequencers", addr, c.TLSCert != ""); err != nil {
			return err
		}
	}
	if (c.HTTPSCert == "") != (c.HTTPSKey == "") {
		return usagef("--https-cert and --https-key go together")
	}
	if c.HTTPSCert == "" {
		if err := checkLoopback("--addr", c.Addr); err != nil {
			return err
		}
	}
	if c.OpsAddr != "" {
		if err := checkLoopback("--ops-addr", c.OpsAddr); err != nil {
			return err
		}
	}
	if c.JWTSecretFile == "" && c.JWTKeysFile == "" && c.JWTKeysURL == "" && !c.NoAuth {
		return usagef("--jwt-secret-file, --jwt-keys-file or --jwt-keys-url is missing: without a key no token can be checked " +
			"(or try --no-auth, on loopback)")
	}
	if err := wire.CheckID("--region", c.Region); c.Region != "" && err != nil {
		return usagef("%w", err)
	}
	if c.isHub() {
		if err := checkNodeAddr("--hub-addr", c.HubAddr, c.TLSCert != ""); err != nil {
			return err
		}
	}
	if _, err := parseNetworks("--unlimited-addresses", c.UnlimitedAddresses); err != nil {
		return err
	}
	return checkRoles(c.Roles)
}

func (c *DeliveryConfig) isHub() bool { return slices.Contains(c.Roles, "hub") }

// parseNetworks reads addresses and networks. None at all is an empty list, not nil.
func parseNetworks(flag string, texts []string) ([]netip.Prefix, error) {
	networks := []netip.Prefix{}
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if addr, bare := netip.ParseAddr(text); bare == nil {
			network, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, usagef("%s: %q is neither an address nor a network such as 10.0.0.0/8", flag, text)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

func (a *app) runDelivery(cmd *cobra.Command) error {
	c := &a.config.Delivery
	if err := c.check(); err != nil {
		return err
	}
	logger := a.logger(cmd.ErrOrStderr(), slog.LevelInfo)
	config, err := c.edgeConfig(logger)
	if err != nil {
		return err
	}
	edge, pushing, err := a.openDelivery(&config)
	if err != nil {
		return err
	}
	config.Addr = edge.Addr()
	shown := newMetrics()
	shown.edge(edge)
	shown.notifier(pushing.notifier)
	ops, err := openOps(c.OpsAddr, map[string]probe{"delivery": edgeReadiness(edge.Addr(), config.TLS != nil)}, shown, logger)
	if err != nil {
		return errors.Join(err, closeEdge(edge), pushing.close())
	}
	err = serve(cmd, edge.Ready, "delivery node serves "+edgeURL(edge.Addr(), config.TLS != nil), edge.Outdated())
	for err == nil && cmd.Context().Err() == nil { // the cluster was restored from a backup: what the node knows is of the old one
		shown.forget(edge, pushing.notifier)
		if err = errors.Join(closeEdge(edge), pushing.close()); err != nil {
			break
		}
		if edge, pushing, err = a.openDelivery(&config); err != nil {
			return errors.Join(err, ops.Close())
		}
		shown.edge(edge)
		shown.notifier(pushing.notifier)
		select {
		case <-edge.Outdated():
		case <-cmd.Context().Done():
		}
	}
	// The clients are told to go elsewhere while the operations port still answers.
	return errors.Join(err, closeEdge(edge), pushing.close(), ops.Close())
}

// openDelivery opens a delivery node, and what has users told who are away.
func (a *app) openDelivery(config *delivery.Config) (*delivery.Server, *pushing, error) {
	c := &a.config.Delivery
	pushing, err := a.config.Push.open(c.notifierConfig(config), slices.Contains(c.Roles, "notifier"))
	if err != nil {
		return nil, nil, err
	}
	config.AdmitDevice = pushing.admit()
	edge, err := delivery.Open(*config)
	if err != nil {
		return nil, nil, errors.Join(err, pushing.close())
	}
	return edge, pushing, nil
}

// drainTime is how long an edge may take to end what it has under way.
const drainTime = 5 * time.Second

func closeEdge(edge *delivery.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := edge.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil // what was left was cut off, and those clients resume elsewhere
}

func edgeURL(addr string, secure bool) string {
	if secure {
		return "https://" + addr
	}
	return "http://" + addr
}

// edgeReadiness asks the edge on its own port, as a load balancer would.
func edgeReadiness(addr string, secure bool) probe {
	client := &http.Client{Timeout: probeTime, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it asks itself, and tells nothing
	}}
	return func() error {
		answer, err := client.Get(edgeURL(addr, secure) + "/readyz")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
		var body struct{ Reasons []string }
		if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&body); err != nil || len(body.Reasons) == 0 {
			return errors.New(answer.Status)
		}
		return errors.New(strings.Join(body.Reasons, ", "))
	}
}

// edgeConfig is the configuration of the delivery node itself.
func (c *DeliveryConfig) edgeConfig(logger *slog.Logger) (delivery.Config, error) {
	config := delivery.Config{
		Addr: c.Addr, Sequencers: c.Sequencers, Region: c.Region, NoAuth: c.NoAuth, Logger: logger,
		NoClients: !slices.Contains(c.Roles, "edge"),
		Limits: delivery.Limits{
			PingInterval: c.PingEvery, SendsPerSecond: float64(c.SendsPerSecond), SendBurst: 2 * c.SendsPerSecond,
			AddressConnections: c.AddressConnections, AddressHandshakes: c.AddressHandshakes, AddressFailures: c.AddressFailures,
			AddressRequests: c.AddressRequests, RequestConnections: c.RequestConnections,
		},
	}
	if c.isHub() {
		config.HubAddr = c.HubAddr
	}
	var err error
	if config.UnlimitedAddresses, err = parseNetworks("--unlimited-addresses", c.UnlimitedAddresses); err != nil {
		return config, err
	}
	if c.JWTSecretFile != "" {
		secret, err := readSecret(c.JWTSecretFile)
		if err != nil {
			return config, err
		}
		config.JWTSecret = secret
	}
	if c.HTTPSCert != "" {
		cert, err := openCertificate(c.HTTPSCert, c.HTTPSKey)
		if err != nil {
			return config, err
		}
		config.TLS = &tls.Config{GetCertificate: cert.get, MinVersion: tls.VersionTLS12}
	}
	config.JWTKeysURL, config.JWTIssuer, config.JWTAudience = c.JWTKeysURL, c.JWTIssuer, c.JWTAudience
	if c.JWTKeysFile != "" {
		body, err := os.ReadFile(c.JWTKeysFile)
		if err != nil {
			return config, err
		}
		if config.JWTKeys, err = delivery.ParseTokenKeys(body); err != nil {
			return config, fmt.Errorf("%s: %w", c.JWTKeysFile, err)
		}
	}
	if c.PasswordFile != "" {
		password, err := readSecret(c.PasswordFile)
		if err != nil {
			return config, err
		}
		config.Username, config.Password = c.Username, string(password)
	}
	if config.Archive, err = openArchive(c.Archive); err != nil {
		return config, err
	}
	keys, err := openKeys(trust.Files{CA: c.TLSCA, Cert: c.TLSCert, Key: c.TLSKey}, logger)
	if keys != nil {
		config.Dial, config.HubDial, config.HubListen = keys.Dial, keys.DialRelay, keys.ListenRelay
	}
	return config, err
}

// notifierConfig is how a notifier reaches the sequencers: as the edge does.
func (c *DeliveryConfig) notifierConfig(edge *delivery.Config) notify.Config {
	return notify.Config{Sequencers: c.Sequencers, Username: edge.Username, Password: edge.Password, Dial: edge.Dial, Logger: edge.Logger}
}

func checkRoles(roles []string) error {
	if len(roles) == 0 {
		return usagef("--roles: a node is edge, hub, notifier, or several of them")
	}
	for _, role := range roles {
		switch role {
		case "edge", "hub", "notifier":
		default:
			return usagef("--roles: there is no role %q; there are edge, hub and notifier", role)
		}
	}
	return nil
}
