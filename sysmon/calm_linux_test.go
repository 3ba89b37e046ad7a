package sysmon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"
)

func TestCalm(t *testing.T) {
	busy := make(chan struct{})
	defer close(busy)
	go func() { // so that the monitor is awake
		for {
			select {
			case <-busy:
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
	}()
	err := Calm()
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errNotFound) {
		t.Skipf("this process may not, or cannot see where its threads sleep: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	calm := 0
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%s/timerslack_ns", task.Name()))
		if err == nil && strings.TrimSpace(string(text)) == fmt.Sprint(int64(slack)) {
			calm++
		}
	}
	if calm != 1 {
		t.Errorf("%d threads are calm, want the monitor alone", calm)
	}
}
