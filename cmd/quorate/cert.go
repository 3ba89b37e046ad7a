package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/trust"
)

const (
	year             = 365 * 24 * time.Hour
	authorityYears   = 10
	certificateYears = 1
)

// openKeys reads the files of --tls-*; nil where none is named.
func openKeys(files trust.Files, logger *slog.Logger) (*trust.Keys, error) {
	if files == (trust.Files{}) {
		return nil, nil
	}
	if files.CA == "" || files.Cert == "" || files.Key == "" {
		return nil, usagef("--tls-ca, --tls-cert and --tls-key go together")
	}
	return trust.Open(files, logger)
}

func (a *app) certCommand() *cobra.Command {
	ca := &cobra.Command{
		Use: "ca", Short: "Make the authority of a cluster", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.makeAuthority(cmd) },
	}
	children := []*cobra.Command{ca}
	for role, what := range map[trust.Role]string{
		trust.Node: "a sequencer node", trust.Edge: "a delivery node", trust.Operator: "a person who runs the cluster",
		trust.Reader: "who may only read",
	} {
		children = append(children, &cobra.Command{
			Use: string(role) + " NAME", Short: "Make a certificate for " + what, Args: exactly(1),
			RunE: func(cmd *cobra.Command, args []string) error { return a.issue(cmd, role, args[0]) },
		})
	}
	cert := parent("cert", "Make certificates for a cluster, for development and for clusters without an authority", children...)
	a.bind(cert.PersistentFlags(), "cert")
	return cert
}

func (a *app) makeAuthority(cmd *cobra.Command) error {
	c := a.config.Cert
	validFor, err := validity(c.ValidFor, authorityYears)
	if err != nil {
		return err
	}
	authority, err := trust.CreateAuthority(c.Dir, c.Cluster, validFor)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s holds an authority already, and it stays: %w", c.Dir, err)
	case err != nil:
		return err
	}
	out := map[string]string{
		"cluster": authority.Cluster(), "ca": authority.CAFile(), "expires": authority.Expires().UTC().Format(time.RFC3339),
	}
	return a.print(cmd.OutOrStdout(), out, []string{"CLUSTER", "EXPIRES", "CA"},
		[][]string{{out["cluster"], out["expires"], out["ca"]}})
}

// issuedCert is what is told of a new certificate.
type issuedCert struct {
	Name    string `json:"name"`
	Expires string `json:"expires"`
	CA      string `json:"ca"`
	Cert    string `json:"cert"`
	Key     string `json:"key"`
}

func (a *app) issue(cmd *cobra.Command, role trust.Role, name string) error {
	c := a.config.Cert
	validFor, err := validity(c.ValidFor, certificateYears)
	if err != nil {
		return err
	}
	authority, err := trust.OpenAuthority(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no authority in %s: make one with quorate cert ca, or name its directory with --dir", c.Dir)
	}
	if err != nil {
		return err
	}
	issued, err := authority.Issue(role, name, c.Hosts, validFor)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s %s has a certificate already, and it stays: %w", role, name, err)
	case err != nil:
		return err
	}
	out := issuedCert{
		Name: issued.Name.String(), Expires: issued.Expires.UTC().Format(time.RFC3339),
		CA: issued.Files.CA, Cert: issued.Files.Cert, Key: issued.Files.Key,
	}
	return a.print(cmd.OutOrStdout(), out, []string{"NAME", "EXPIRES", "CERT", "KEY"},
		[][]string{{out.Name, out.Expires, out.Cert, out.Key}})
}

func validity(asked time.Duration, years int) (time.Duration, error) {
	if asked < 0 {
		return 0, usagef("--valid-for must be above 0, not %s", asked)
	}
	if asked == 0 {
		return time.Duration(years) * year, nil
	}
	return asked, nil
}
