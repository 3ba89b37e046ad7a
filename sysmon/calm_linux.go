package sysmon

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// slack is by how much the kernel may let the monitor oversleep. What it does late by that is to hand the goroutines behind a blocked
	// system call to another thread: much less than such a call takes is too short to save anything, and more makes them wait.
	slack = 400 * time.Microsecond

	looks = 10 // for a monitor that sleeps; one that rests already is woken by what the process does next
	pause = time.Millisecond
)

// errNotFound says that no thread looks like the monitor.
var errNotFound = errors.New("the runtime's monitor was not found")

// Calm has the runtime's monitor oversleep by up to 400 µs. It needs CAP_SYS_NICE, as it is another thread's attribute; without, and on other
// systems, all stays as it is and the error says so.
func Calm() error {
	for range looks {
		tid, err := find()
		if err == nil {
			return os.WriteFile(fmt.Sprintf("/proc/%d/timerslack_ns", tid), strconv.AppendInt(nil, int64(slack), 10), 0)
		}
		if !errors.Is(err, errNotFound) {
			return err
		}
		time.Sleep(pause)
	}
	return errNotFound
}

// find gives the thread id of the monitor. It is the first thread that the runtime makes beside the process's own, and sleeps in nanosleep
// where no other thread does.
func find() (tid int, err error) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	var tids []int
	for _, t := range tasks {
		if n, err := strconv.Atoi(t.Name()); err == nil && n != os.Getpid() {
			tids = append(tids, n)
		}
	}
	if len(tids) == 0 {
		return 0, errNotFound
	}
	tid = slices.Min(tids)
	where, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/wchan", tid))
	if err != nil {
		return 0, err
	}
	if strings.TrimSpace(string(where)) != "hrtimer_nanosleep" {
		return 0, errNotFound
	}
	return tid, nil
}
