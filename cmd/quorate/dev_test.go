package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDevData_SecondStartHasTheSameNodes(t *testing.T) {
	c := defaultConfig().Dev
	c.Data = filepath.Join(t.TempDir(), "new", "data")
	first, unlock, err := openDevData(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openDevData(&c); err == nil || !strings.Contains(err.Error(), "another quorate dev") {
		t.Errorf("a second one at the same time: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	c.RESPAddr = "127.0.0.1:1000" // where the ports are looked for depends on it only at first
	second, unlock, err := openDevData(&c)
	if err != nil || !slices.Equal(first.Nodes, second.Nodes) || len(first.Nodes) != 3 {
		t.Errorf("%v: %v, then %v", err, first, second)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	c.Nodes = 5
	if _, _, err := openDevData(&c); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "--nodes 3 --groups 2") {
		t.Errorf("another number of nodes: %v", err)
	}
}

func TestSecret_MadeOnceForItsOwnerAlone(t *testing.T) {
	name := filepath.Join(t.TempDir(), secretFile)
	first, err := ensureSecret(name)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ensureSecret(name)
	if err != nil || string(first) != string(second) || len(first) < 32 {
		t.Errorf("%v: %q, then %q", err, first, second)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v: mode %v", err, info.Mode())
	}
	if err := os.WriteFile(name, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ensureSecret(name); err == nil {
		t.Error("an empty secret is taken")
	}
}

func TestPrintable_KeepsTheTerminalSafe(t *testing.T) {
	if got := printable("naïve ☕\x1b[2J\r\nx"); got != "naïve ☕ [2J  x" {
		t.Errorf("%q", got)
	}
}
