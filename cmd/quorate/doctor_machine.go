package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// thisMachine answers doctor's questions from the machine that it runs on.
func thisMachine() machine {
	return machine{
		fsyncs: timeFsyncs, disk: diskOf, fileLimit: openFiles, file: trimmedFile, listen: tryListen, dial: tryDial,
		cpus:  func() (cpus, procs int) { return runtime.NumCPU(), runtime.GOMAXPROCS(0) },
		drift: clockDrift, clockState: kernelClock,
	}
}

func trimmedFile(name string) (string, error) {
	text, err := os.ReadFile(name)
	return strings.TrimSpace(string(text)), err
}

// existing gives dir, or the closest directory above it that there is: a node would make the rest.
func existing(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && info.IsDir():
			return dir, nil
		case err == nil:
			return "", fmt.Errorf("%s is not a directory", dir)
		case !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir:
			return "", err
		}
		dir = filepath.Dir(dir)
	}
}

// fsyncBytes is one write: an entry of a few messages.
const fsyncBytes = 4096

// timeFsyncs measures n writes with their fsync, to a file that has its size already, as logs do.
func timeFsyncs(dir string, n int) (times []time.Duration, err error) {
	if dir, err = existing(dir); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, ".quorate-doctor-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := bytes.Repeat([]byte{0xa5}, fsyncBytes)
	const blocks = 128
	if _, err := f.Write(bytes.Repeat(block, blocks)); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	for i := range n {
		began := time.Now()
		if _, err := f.WriteAt(block, int64(i%blocks)*fsyncBytes); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}

func openFiles() (uint64, error) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return uint64(limit.Cur), err //nolint:unconvert // not the same type everywhere
}

func tryListen(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return ln.Close()
}

func tryDial(ctx context.Context, addr string) (time.Duration, error) {
	began := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	return time.Since(began), conn.Close()
}

// clockDrift waits for d and gives by how much the wall clock went further than the monotonic one.
func clockDrift(d time.Duration) time.Duration {
	began := time.Now()
	time.Sleep(d)
	ended := time.Now()
	return ended.Round(0).Sub(began.Round(0)) - ended.Sub(began)
}
