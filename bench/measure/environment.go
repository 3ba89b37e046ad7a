package measure

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Environment is where a run was made: numbers of two machines are not compared.
type Environment struct {
	Version string   `json:"version"` // of the program
	Go      string   `json:"go"`
	OS      string   `json:"os"`
	Kernel  string   `json:"kernel,omitempty"`
	CPU     string   `json:"cpu,omitempty"`
	Cores   int      `json:"cores"`
	MemoryB uint64   `json:"memoryBytes,omitempty"`
	Targets []string `json:"targets"`
}

// ThisMachine tells where we are.
func ThisMachine(version string, targets []string) Environment {
	e := Environment{Version: version, Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Targets: targets}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		e.Kernel = strings.TrimSpace(string(b))
	}
	e.CPU = procField("/proc/cpuinfo", "model name")
	kib, _ := strconv.ParseUint(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	e.MemoryB = kib << 10
	return e
}

// procField gives the value of a line "name : value" of a file under /proc, "" where there is none.
func procField(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
