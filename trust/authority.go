package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Authority is a certificate authority of one cluster in a directory: ca.pem and ca-key.pem. It is for development and
// for clusters whose owners have no better one; a certificate of any other authority with the same URI works as well.
type Authority struct {
	dir     string
	cluster string
	cert    *x509.Certificate
	key     crypto.Signer
}

// The files of an authority. Those of a holder are named after it: n1.pem and n1-key.pem, for clients edge-e1.pem.
const (
	authorityCert = "ca.pem"
	authorityKey  = "ca-key.pem"
)

// clockSkew is how far the clocks of two machines may be apart for a fresh certificate to be good on both.
const clockSkew = 5 * time.Minute

// CreateAuthority makes the authority of a cluster in dir, which is made where it is missing. It never writes over a
// file.
func CreateAuthority(dir, cluster string, validFor time.Duration) (*Authority, error) {
	if err := (Name{Cluster: cluster, Role: Node, ID: "any"}).Check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newCertificate("Quorate "+cluster+" CA", validFor)
	if err != nil {
		return nil, err
	}
	template.Subject.OrganizationalUnit = []string{cluster}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	a := &Authority{dir: dir, cluster: cluster, cert: template, key: key}
	if _, err := a.sign(template, key, authorityCert, authorityKey); err != nil {
		return nil, err
	}
	return OpenAuthority(dir)
}

// OpenAuthority reads an authority that CreateAuthority made.
func OpenAuthority(dir string) (*Authority, error) {
	cert, err := readPEM(filepath.Join(dir, authorityCert), "CERTIFICATE", x509.ParseCertificate)
	if err != nil {
		return nil, fmt.Errorf("open the authority in %s: %w", dir, err)
	}
	key, err := readPEM(filepath.Join(dir, authorityKey), "PRIVATE KEY", x509.ParsePKCS8PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("open the authority in %s: %w", dir, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok || len(cert.Subject.OrganizationalUnit) != 1 {
		return nil, fmt.Errorf("open the authority in %s: it is none of ours", dir)
	}
	return &Authority{dir: dir, cluster: cert.Subject.OrganizationalUnit[0], cert: cert, key: signer}, nil
}

// Cluster is the name of the cluster whose certificates the authority signs.
func (a *Authority) Cluster() string { return a.cluster }

// Expires is when the authority's certificate ends, and with it all that it has signed.
func (a *Authority) Expires() time.Time { return a.cert.NotAfter }

// CAFile is the certificate that all parts of the cluster get.
func (a *Authority) CAFile() string { return filepath.Join(a.dir, authorityCert) }

// Issued is a certificate that an authority has signed.
type Issued struct {
	Name    Name
	Expires time.Time
	Files   Files
}

// Issue signs a certificate with a key of its own and writes both beside the authority. hosts are the addresses and host
// names of a node, for clients that look at them; ours look at the name alone. It never writes over a file.
func (a *Authority) Issue(role Role, id string, hosts []string, validFor time.Duration) (Issued, error) {
	name := Name{Cluster: a.cluster, Role: role, ID: id}
	if err := name.Check(); err != nil {
		return Issued{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Issued{}, err
	}
	template, err := newCertificate(string(role)+" "+id, validFor)
	if err != nil {
		return Issued{}, err
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	template.URIs = []*url.URL{{Scheme: scheme, Host: a.cluster, Path: "/" + string(role) + "/" + id}}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	base := string(role) + "-" + id
	if role == Node || role == Edge { // these are connected to
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if role == Node {
		base = id
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	files, err := a.sign(template, key, base+".pem", base+"-key.pem")
	return Issued{Name: name, Expires: template.NotAfter, Files: files}, err
}

func newCertificate(subject string, validFor time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: subject},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(validFor),
	}, nil
}

// sign signs a certificate and writes it with its key.
func (a *Authority) sign(template *x509.Certificate, key crypto.Signer, certFile, keyFile string) (Files, error) {
	files := Files{CA: a.CAFile(), Cert: filepath.Join(a.dir, certFile), Key: filepath.Join(a.dir, keyFile)}
	if strings.HasPrefix(certFile, "ca.") != template.IsCA {
		return files, errors.New("a holder may not be named as the authority")
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return files, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return files, err
	}
	if err := writeNew(files.Key, "PRIVATE KEY", keyDER); err != nil {
		return files, err
	}
	if err := writeNew(files.Cert, "CERTIFICATE", der); err != nil {
		return files, errors.Join(err, os.Remove(files.Key)) // a key alone would be in the way of the next try
	}
	return files, nil
}

// writeNew writes a file that only its owner may read. One that exists is an error.
func writeNew(name, kind string, der []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	return errors.Join(err, f.Close())
}

func readPEM[T any](name, kind string, parse func([]byte) (T, error)) (parsed T, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return parsed, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return parsed, fmt.Errorf("%s holds no %s", name, kind)
	}
	return parse(block.Bytes)
}
