package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestCertificate_RenewedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	do := func(args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, nil, &out, &errs); code != exitOK {
			t.Fatalf("%v: %d: %s", args, code, errs.String())
		}
	}
	certs := filepath.Join(dir, "certs")
	do("cert", "ca", "--dir", certs)
	do("cert", "edge", "one", "--dir", certs)
	do("cert", "edge", "two", "--dir", certs)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put := func(name string) {
		t.Helper()
		copyFile(t, filepath.Join(certs, "edge-"+name+".pem"), cert)
		copyFile(t, filepath.Join(certs, "edge-"+name+"-key.pem"), key)
	}
	put("one")
	c, err := openCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := c.get(nil)
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	look := func() []byte {
		c.looked = time.Time{}
		now, _ := c.get(nil)
		return now.Certificate[0]
	}
	if !bytes.Equal(look(), first.Certificate[0]) {
		t.Error("a file that cannot be read was taken")
	}
	put("two")
	if err := os.Chtimes(cert, time.Now(), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(look(), first.Certificate[0]) {
		t.Error("the new certificate was not taken")
	}
	if _, err := openCertificate(filepath.Join(dir, "none"), key); err == nil {
		t.Error("no certificate was taken")
	}
}
