package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificate is one in files that somebody renews. It is looked at again at a handshake, at most every certificateEvery; files
// that cannot be read leave the last one in use.
type certificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	now     *tls.Certificate
	looked  time.Time
	changed time.Time // of the certificate's file, as of now
}

const certificateEvery = 10 * time.Second

func openCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificate) read() error {
	info, err := os.Stat(c.certFile)
	if err != nil {
		return fmt.Errorf("read the certificate for https: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read the certificate for https: %w", err)
	}
	c.now, c.changed = &pair, info.ModTime()
	return nil
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) > certificateEvery {
		c.looked = time.Now()
		if info, err := os.Stat(c.certFile); err == nil && !info.ModTime().Equal(c.changed) {
			_ = c.read() // half of a renewal may be there: it is tried again
		}
	}
	return c.now, nil
}
