package trust

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Files are the PEM files that a process proves itself with.
type Files struct {
	CA   string // the certificates that sign those of the cluster; several while one follows another
	Cert string // this process's own, with those between it and the CA
	Key  string // its private key
}

// Keys are the certificates of a process, and what it asks of the other end of a connection. The files are read again
// when they change: connections made from then on use what is new, those that stand go on. What cannot be read or does
// not fit together leaves what was before in force. All methods may be called from any goroutine.
type Keys struct {
	files Files
	log   *slog.Logger

	mu     sync.Mutex
	now    *material
	stamp  [3]stamp
	looked time.Time
	failed string // the last failure to read, so that it is logged once
}

// material is one reading of the files. It does not change.
type material struct {
	roots *x509.CertPool
	cert  tls.Certificate
	name  Name
}

// stamp tells one state of a file from another.
type stamp struct {
	size int64
	mod  time.Time
}

// lookEvery is how long a change of the files may go unseen.
const lookEvery = time.Second

// Open reads the files. The certificate must name its holder, be signed by the CA and fit the key.
func Open(files Files, log *slog.Logger) (*Keys, error) {
	k := &Keys{files: files, log: log, looked: time.Now()}
	k.stamp = k.stamps()
	var err error
	k.now, err = files.read()
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Name is what this process's certificate says.
func (k *Keys) Name() Name { return k.current().name }

// Expires is when this process's certificate ends.
func (k *Keys) Expires() time.Time { return k.current().cert.Leaf.NotAfter }

// current gives what the files hold, at most a second late.
func (k *Keys) current() *material {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.looked) < lookEvery {
		return k.now
	}
	k.looked = time.Now()
	seen := k.stamps()
	if seen == k.stamp {
		return k.now
	}
	fresh, err := k.files.read()
	if err == nil && fresh.name != k.now.name {
		err = fmt.Errorf("%s is of %s, and this is %s", k.files.Cert, fresh.name, k.now.name)
	}
	if err != nil { // perhaps one of the files is still to be replaced
		if k.failed != err.Error() {
			k.failed = err.Error()
			k.log.Warn("the changed certificates are not used", "err", err)
		}
		return k.now
	}
	k.now, k.stamp, k.failed = fresh, seen, ""
	k.log.Info("the changed certificates are in use", "name", fresh.name.String(), "expires", fresh.cert.Leaf.NotAfter)
	return k.now
}

func (k *Keys) stamps() (all [3]stamp) {
	for i, name := range []string{k.files.CA, k.files.Cert, k.files.Key} {
		if info, err := os.Stat(name); err == nil {
			all[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return all
}

func (f Files) read() (*material, error) {
	roots, err := readRoots(f.CA)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(f.Key); err == nil && info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s can be read by everybody (mode %04o): chmod 600 it", f.Key, info.Mode().Perm())
	}
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	m := &material{roots: roots, cert: cert}
	if m.name, err = m.verify([]*x509.Certificate{cert.Leaf}, x509.ExtKeyUsageClientAuth, between(cert)...); err != nil {
		return nil, fmt.Errorf("certificate %s: %w", f.Cert, err)
	}
	return m, nil
}

// between gives the certificates of a file after the first.
func between(cert tls.Certificate) (more []*x509.Certificate) {
	for _, der := range cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			more = append(more, c)
		}
	}
	return more
}

func readRoots(name string) (*x509.CertPool, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	pool, n := x509.NewCertPool(), 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, fmt.Errorf("%s holds no certificate", name)
	}
	return pool, nil
}

// verify checks a chain against the CA and gives the name of its first certificate.
func (m *material) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage, more ...*x509.Certificate) (Name, error) {
	if len(chain) == 0 {
		return Name{}, fmt.Errorf("%w: no certificate", ErrStranger)
	}
	pool := x509.NewCertPool()
	for _, c := range append(chain[1:], more...) {
		pool.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: m.roots, Intermediates: pool, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return Name{}, errors.Join(ErrStranger, err)
	}
	return NameOf(chain[0])
}
