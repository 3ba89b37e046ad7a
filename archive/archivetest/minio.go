package archivetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Keys of the servers that this package starts. StartMinIO puts them into the environment.
const (
	AccessKey = "quorate-test"
	SecretKey = "quorate-test-secret"
)

// startWait is how long a server may take to start.
const startWait = 60 * time.Second

// MinIO is a MinIO server of the test's own, on loopback.
type MinIO struct {
	URL      string // for archive.OpenStore, of a bucket that is there
	Endpoint string // http://host:port
	process  *os.Process
}

// StartMinIO runs a MinIO server over a directory, "" for one of the test's, until the test ends. The test is skipped where the server has not
// been built: make minio.
func StartMinIO(tb testing.TB, dir string) *MinIO {
	tb.Helper()
	binary := filepath.Join(moduleDir(), ".cache", "tools", "minio")
	if _, err := os.Stat(binary); err != nil {
		tb.Skip("there is no MinIO server: make minio builds one")
	}
	if dir == "" {
		dir = tb.TempDir()
	}
	addr := freeAddr(tb)
	cmd := exec.Command(binary, "server", "--quiet", "--address", addr, "--console-address", freeAddr(tb), dir)
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+AccessKey, "MINIO_ROOT_PASSWORD="+SecretKey, "MINIO_UPDATE=off", "MINIO_BROWSER=off", "HOME="+dir)
	cmd.SysProcAttr = dieWithParent()
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	m := &MinIO{Endpoint: "http://" + addr, process: cmd.Process}
	tb.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT) // it may be paused
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if tb.Failed() {
			tb.Logf("MinIO said: %s", said.String())
		}
	})
	m.awaitReady(tb)
	m.URL = fmt.Sprintf("s3://%s/some/prefix?endpoint=%s", makeBucket(tb, addr), url.QueryEscape(m.Endpoint))
	tb.Setenv("QUORATE_S3_ACCESS_KEY", AccessKey)
	tb.Setenv("QUORATE_S3_SECRET_KEY", SecretKey)
	return m
}

// Pause stops the server's process, and Resume lets it go on.
func (m *MinIO) Pause() error { return m.process.Signal(syscall.SIGSTOP) }

// Resume is the end of Pause.
func (m *MinIO) Resume() error { return m.process.Signal(syscall.SIGCONT) }

func (m *MinIO) awaitReady(tb testing.TB) {
	tb.Helper()
	for deadline := time.Now().Add(startWait); ; time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get(m.Endpoint + "/minio/health/ready")
		if err == nil {
			err = errors.Join(answer.Body.Close(), nil)
			if answer.StatusCode == http.StatusOK && err == nil {
				return
			}
			err = errors.New(answer.Status)
		}
		if time.Now().After(deadline) {
			tb.Fatalf("MinIO did not start: %v", err)
		}
	}
}

func makeBucket(tb testing.TB, addr string) string {
	tb.Helper()
	client, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, "")})
	if err != nil {
		tb.Fatal(err)
	}
	const bucket = "quorate"
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	if there, err := client.BucketExists(ctx, bucket); err == nil && there {
		return bucket
	}
	if err := client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		tb.Fatal(err)
	}
	return bucket
}

// freeAddr gives a loopback address that nobody listens on.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // it only held the port
	return ln.Addr().String()
}

// moduleDir is where this module's files are.
func moduleDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// readOnly is a policy that lets objects be read and nothing else: no list, no put, no delete.
const readOnly = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::quorate/*"]}]}`

// ReadOnly puts keys of the server into the environment, for the rest of the test, that may do nothing but read objects.
func (m *MinIO) ReadOnly(tb testing.TB) {
	tb.Helper()
	keys, err := credentials.NewSTSAssumeRole(m.Endpoint, credentials.STSAssumeRoleOptions{
		AccessKey: AccessKey, SecretKey: SecretKey, Policy: readOnly, DurationSeconds: 3600,
	})
	if err != nil {
		tb.Fatal(err)
	}
	v, err := keys.GetWithContext(&credentials.CredContext{Client: http.DefaultClient})
	if err != nil {
		tb.Fatal(err)
	}
	for name, value := range map[string]string{
		"QUORATE_S3_ACCESS_KEY": "", "QUORATE_S3_SECRET_KEY": "", "AWS_ACCESS_KEY_ID": v.AccessKeyID, "AWS_SECRET_ACCESS_KEY": v.SecretAccessKey,
		"AWS_SESSION_TOKEN": v.SessionToken,
	} {
		tb.Setenv(name, value)
	}
}
