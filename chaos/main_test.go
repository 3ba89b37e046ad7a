//go:build linux

package chaos

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// How much is run: the environment's CHAOS. Without it a sample that is good enough for every run of the tests.
const (
	modeEnv     = "CHAOS"
	modeShort   = "short"   // each kind of fault, and the 50 power cuts: minutes
	modeAll     = "all"     // every fault many times, for the tables: tens of minutes
	modeRegions = "regions" // TestRegions, and nothing beside it
)

const (
	insideEnv  = "CHAOS_INSIDE"   // set in the process that has the namespaces: why it has none, or "yes"
	binaryEnv  = "CHAOS_BINARY"   // the command, built as a user builds it
	noSyncEnv  = "CHAOS_NOSYNC"   // the command, built so that it never waits for a disk
	noSyncTag  = "quorate_nosync" // the build tag that does that
	insideYes  = "yes"
	commandPkg = "github.com/quorate/quorate/cmd/quorate"
)

// TestMain runs the tests in a process with a network and a mount namespace of its own: what they make there, links,
// addresses, rules, mounts and the loop devices behind them, is gone with the last of its processes, however it ends.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // where a plain user's PATH does not look; it cannot fail
	if os.Getenv(insideEnv) != "" || testing.Short() {
		code := m.Run()
		writeGaps.print()
		shownGaps.print()
		borderTable.print()
		os.Exit(code)
	}
	code, err := runInside()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// runInside runs this test binary again in namespaces of its own and gives its exit code.
func runInside() (int, error) {
	missing := lacks()
	if missing != "" && os.Getenv(modeEnv) != "" {
		return 0, errors.New(missing) // asked for by name, so to skip would be to lie
	}
	env := append(os.Environ(), insideEnv+"="+insideYes)
	if missing != "" {
		env = append(env, insideEnv+"="+missing)
	} else {
		dir, err := os.MkdirTemp("", "chaos-bin-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a leftover of a temporary directory harms nobody
		normal, lossy := filepath.Join(dir, "quorate"), filepath.Join(dir, "quorate-nosync")
		if err := errors.Join(build(normal), build(lossy, "-tags", noSyncTag)); err != nil {
			return 0, err
		}
		env = append(env, binaryEnv+"="+normal, noSyncEnv+"="+lossy)
	}
	runtime.LockOSThread() // the child ends with the thread that started it
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if missing == "" {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1), nil
	case errors.Is(err, syscall.EPERM) && os.Getenv(modeEnv) == "": // root, but in a container that may not do this
		cmd = exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), insideEnv+"=namespaces are not permitted here")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return 0, cmd.Run()
	}
	return 0, err
}

func build(name string, flags ...string) error {
	out, err := exec.Command("go", append(append([]string{"build", "-o", name}, flags...), commandPkg)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// lacks says what is missing for the tests to run, or "".
func lacks() string {
	if os.Getuid() != 0 {
		return "network namespaces and loop mounts need root"
	}
	for _, tool := range []string{"ip", "nft", "mkfs.ext4", "mount", "umount", "strace"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is missing; scripts/test-deps.sh installs it"
		}
	}
	return ""
}

// needs skips a test that asks for more than is run now: modeShort, modeAll, or "" for what always runs.
func needs(t *testing.T, mode string) {
	t.Helper()
	got := os.Getenv(modeEnv)
	switch {
	case testing.Short():
		t.Skip("runs processes for a while")
	case os.Getenv(insideEnv) != insideYes:
		t.Skip(os.Getenv(insideEnv))
	case mode == modeShort && got == "", mode == modeAll && got != modeAll:
		t.Skipf("runs with %s=%s; see make chaos", modeEnv, mode)
	}
}
