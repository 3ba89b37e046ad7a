package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patient is a machine that lacks nothing, to be made ill.
type patient struct {
	machine
	files  map[string]string
	config DoctorConfig
	space  diskSpace
	clock  clockState
	times  []time.Duration
	fails  map[string]error // of listen and dial, by address
	took   time.Duration
	limit  uint64
	drift  time.Duration
	cpus   [2]int
}

func healthyMachine() *patient {
	p := &patient{
		files: map[string]string{
			"/proc/meminfo":                                                    "MemTotal:        8388608 kB\nMemFree:  1 kB\nSwapTotal:             0 kB",
			"/proc/self/status":                                                "Name:\tquorate\nCapEff:\t0000000000800000\n",
			"/proc/sys/vm/swappiness":                                          "60",
			"/sys/fs/cgroup/cpu.max":                                           "max 100000",
			"/proc/sys/fs/nr_open":                                             "1048576",
			"/proc/sys/fs/file-max":                                            "9223372036854775807",
			"/sys/fs/cgroup/memory.max":                                        "max",
			"/sys/kernel/mm/transparent_hugepage/enabled":                      "always [madvise] never",
			"/proc/sys/net/ipv4/ip_local_port_range":                           "32768\t60999",
			"/proc/sys/net/ipv4/ip_local_reserved_ports":                       "",
			"/proc/sys/net/core/somaxconn":                                     "4096",
			"/proc/sys/net/ipv4/tcp_max_syn_backlog":                           "2048",
			"/proc/sys/net/ipv4/tcp_mem":                                       "90000\t120000\t180000",
			"/proc/sys/net/netfilter/nf_conntrack_max":                         "262144",
			"/proc/sys/net/netfilter/nf_conntrack_count":                       "7",
			"/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
		},
		config: DoctorConfig{Data: "/data", Listen: []string{"127.0.0.1:7300"}, Peers: []string{"10.0.0.2:7300"}, Connections: 10_000, Fsyncs: 100},
		space:  diskSpace{FreeBytes: 50 << 30, TotalBytes: 100 << 30, FreeInodes: 1e6, TotalInodes: 2e6, Type: "ext4"},
		clock:  clockState{Synchronised: true, MaxError: 5 * time.Millisecond},
		times:  slices.Repeat([]time.Duration{time.Millisecond}, 100),
		fails:  map[string]error{}, took: time.Millisecond, limit: 100_000, cpus: [2]int{4, 4},
	}
	p.machine = machine{
		fsyncs:    func(string, int) ([]time.Duration, error) { return p.times, p.fails["fsync"] },
		disk:      func(string) (diskSpace, error) { return p.space, nil },
		fileLimit: func() (uint64, error) { return p.limit, nil },
		file: func(name string) (string, error) {
			if text, ok := p.files[name]; ok {
				return text, nil
			}
			return "", fs.ErrNotExist
		},
		listen:     func(addr string) error { return p.fails[addr] },
		dial:       func(_ context.Context, addr string) (time.Duration, error) { return p.took, p.fails[addr] },
		cpus:       func() (int, int) { return p.cpus[0], p.cpus[1] },
		drift:      func(time.Duration) time.Duration { return p.drift },
		clockState: func() (clockState, error) { return p.clock, nil },
	}
	return p
}

func TestDoctor_HealthyMachinePassesEverything(t *testing.T) {
	p := healthyMachine()
	found := diagnose(context.Background(), &p.config, p.machine)
	for _, d := range found {
		if d.Verdict != verdictPass || d.Remedy != "" || d.Found == "" {
			t.Errorf("%+v", d)
		}
	}
	if len(found) < 16 {
		t.Errorf("only %d checks ran", len(found))
	}
}

// TestDoctor_EachIllness makes a healthy machine ill in one way: the check of that thing alone must say so, and what to do.
func TestDoctor_EachIllness(t *testing.T) {
	refused := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	meminfo := func(mem, swap string) string { return "MemTotal: " + mem + " kB\nSwapTotal: " + swap + " kB" }
	for name, c := range map[string]struct {
		check   string
		verdict verdict
		makeIll func(p *patient)
	}{
		"slow fsync":          {"fsync", verdictWarn, func(p *patient) { fillTimes(p, 2, 30*time.Millisecond) }},
		"very slow fsync":     {"fsync", verdictFail, func(p *patient) { fillTimes(p, 2, 300*time.Millisecond) }},
		"fsync that lies":     {"fsync", verdictWarn, func(p *patient) { fillTimes(p, 100, time.Microsecond) }},
		"no right to write":   {"fsync", verdictFail, func(p *patient) { p.fails["fsync"] = fs.ErrPermission }},
		"disk nearly full":    {"disk space", verdictWarn, func(p *patient) { p.space.FreeBytes = 12 << 30 }},
		"disk full":           {"disk space", verdictFail, func(p *patient) { p.space.FreeBytes = 1 << 20 }},
		"data in memory":      {"file system", verdictFail, func(p *patient) { p.space.Type = "tmpfs" }},
		"data over a network": {"file system", verdictWarn, func(p *patient) { p.space.Type = "nfs" }},
		"no inodes":           {"inodes", verdictFail, func(p *patient) { p.space.FreeInodes = 5 }},
		"little memory":       {"memory", verdictWarn, func(p *patient) { p.files["/proc/meminfo"] = meminfo("3000000", "0") }},
		"many clients": {"memory", verdictWarn, func(p *patient) {
			p.limit, p.files["/proc/sys/net/netfilter/nf_conntrack_count"] = 9_000_000, "0"
			p.files["/proc/sys/net/ipv4/tcp_mem"], p.files["/proc/sys/fs/nr_open"] = "1 1000000 1000000", "9000000"
			p.config.Connections = 3_000_000
		}},
		"tracked clients":      {"net.netfilter.nf_conntrack_max", verdictWarn, func(p *patient) { p.files["/proc/sys/net/netfilter/nf_conntrack_max"] = "8192" }},
		"little for sockets":   {"net.ipv4.tcp_mem", verdictWarn, func(p *patient) { p.files["/proc/sys/net/ipv4/tcp_mem"] = "100 200 400" }},
		"memory limit":         {"memory", verdictFail, func(p *patient) { p.files["/sys/fs/cgroup/memory.max"] = "536870912" }},
		"swap":                 {"swap", verdictWarn, func(p *patient) { p.files["/proc/meminfo"] = meminfo("8388608", "1000") }},
		"huge pages":           {"transparent huge pages", verdictWarn, func(p *patient) { p.files["/sys/kernel/mm/transparent_hugepage/enabled"] = "[always] madvise never" }},
		"one CPU":              {"CPU", verdictWarn, func(p *patient) { p.cpus = [2]int{1, 1} }},
		"half a CPU":           {"CPU", verdictFail, func(p *patient) { p.files["/sys/fs/cgroup/cpu.max"] = "50000 100000" }},
		"quota below threads":  {"CPU", verdictWarn, func(p *patient) { p.files["/sys/fs/cgroup/cpu.max"] = "200000 100000" }},
		"no right to be nice":  {"runtime monitor", verdictWarn, func(p *patient) { p.files["/proc/self/status"] = "CapEff:\t000000000000000f\n" }},
		"few files":            {"open files", verdictWarn, func(p *patient) { p.limit = 4096 }},
		"very few files":       {"open files", verdictFail, func(p *patient) { p.limit = 1024 }},
		"few files at all":     {"open files", verdictWarn, func(p *patient) { p.files["/proc/sys/fs/file-max"] = "8000" }},
		"port in use":          {"port 127.0.0.1:7300", verdictWarn, func(p *patient) { p.fails["127.0.0.1:7300"] = refused }},
		"port of another host": {"port 127.0.0.1:7300", verdictFail, func(p *patient) { p.fails["127.0.0.1:7300"] = syscall.EADDRNOTAVAIL }},
		"peer away":            {"peer 10.0.0.2:7300", verdictFail, func(p *patient) { p.fails["10.0.0.2:7300"] = syscall.ECONNREFUSED }},
		"peer far away":        {"peer 10.0.0.2:7300", verdictWarn, func(p *patient) { p.took = 80 * time.Millisecond }},
		"port in the range":    {"local port range", verdictWarn, func(p *patient) { p.files["/proc/sys/net/ipv4/ip_local_port_range"] = "1024 60999" }},
		"narrow range":         {"local port range", verdictWarn, func(p *patient) { p.files["/proc/sys/net/ipv4/ip_local_port_range"] = "60000 60999" }},
		"clock jumps":          {"wall clock", verdictWarn, func(p *patient) { p.drift = -time.Second }},
		"clock on its own":     {"NTP", verdictWarn, func(p *patient) { p.clock.Synchronised = false }},
		"clock far off":        {"NTP", verdictWarn, func(p *patient) { p.clock.MaxError = 3 * time.Second }},
		"slow clock source":    {"clock source", verdictWarn, func(p *patient) { p.files["/sys/devices/system/clocksource/clocksource0/current_clocksource"] = "hpet" }},
		"short accept queue":   {"net.core.somaxconn", verdictWarn, func(p *patient) { p.files["/proc/sys/net/core/somaxconn"] = "128" }},
	} {
		t.Run(name, func(t *testing.T) {
			p := healthyMachine()
			c.makeIll(p)
			told := false
			for _, d := range diagnose(context.Background(), &p.config, p.machine) {
				switch {
				case d.Check != c.check && d.Verdict != verdictPass:
					t.Errorf("something else complains: %+v", d)
				case d.Check == c.check:
					told = true
					if d.Verdict != c.verdict || d.Remedy == "" {
						t.Errorf("%+v, want %s and a remedy", d, c.verdict)
					}
				}
			}
			if !told {
				t.Errorf("nothing is said of %s", c.check)
			}
		})
	}
}

// fillTimes makes n of a machine's fsyncs take so long.
func fillTimes(p *patient, n int, d time.Duration) {
	for i := range n {
		p.times[i] = d
	}
}

func TestDoctor_ReservedPortMayBeInTheRange(t *testing.T) {
	p := healthyMachine()
	p.files["/proc/sys/net/ipv4/ip_local_port_range"] = "1024 60999"
	for _, c := range []struct {
		reserved string
		verdict  verdict
	}{{"7300", verdictPass}, {"22,7000-7400", verdictPass}, {"7301-7400,1", verdictWarn}, {"", verdictWarn}, {"x,7300", verdictPass}} {
		p.files["/proc/sys/net/ipv4/ip_local_reserved_ports"] = c.reserved
		if d := checkPortRange(context.Background(), &p.config, p.machine)[0]; d.Verdict != c.verdict {
			t.Errorf("reserved %q: %+v", c.reserved, d)
		}
	}
}

// TestDoctor_WhatCannotBeKnownIsLeftOut runs on a machine that answers nothing.
func TestDoctor_WhatCannotBeKnownIsLeftOut(t *testing.T) {
	p := healthyMachine()
	p.files = nil
	p.machine.disk = func(string) (diskSpace, error) { return diskSpace{}, errors.New("not here") }
	p.machine.fileLimit = func() (uint64, error) { return 0, errors.New("not here") }
	p.machine.clockState = func() (clockState, error) { return clockState{}, errors.New("not here") }
	var checks []string
	for _, d := range diagnose(context.Background(), &p.config, p.machine) {
		checks = append(checks, d.Check)
		if d.Verdict != verdictPass {
			t.Errorf("%+v", d)
		}
	}
	if want := []string{"fsync", "CPU", "port 127.0.0.1:7300", "peer 10.0.0.2:7300", "wall clock"}; !slices.Equal(checks, want) {
		t.Errorf("%q, want %q", checks, want)
	}
}

// TestDoctor_OnThisMachine runs the command as it is. What it finds depends on the machine, but not what it looked at.
func TestDoctor_OnThisMachine(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := t.TempDir()
	code, stdout, stderr := quorate(t, nil, "doctor", "-o", "json", "--data", filepath.Join(dir, "not", "yet", "there"), "--fsyncs", "20",
		"--listen", ln.Addr().String(), "--peers", ln.Addr().String())
	var found []struct{ Check, Verdict, Found, Remedy string }
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || stderr != "" {
		t.Fatalf("%v: %q, %q", err, stdout, stderr)
	}
	verdicts, worst := map[string]string{}, 0
	for _, d := range found {
		verdicts[d.Check] = d.Verdict
		worst = max(worst, slices.Index([]string{"PASS", "WARN", "FAIL"}, d.Verdict))
		if (d.Remedy == "") != (d.Verdict == "PASS") {
			t.Errorf("%+v", d)
		}
	}
	if code != worst {
		t.Errorf("code %d, the worst verdict is %d", code, worst)
	}
	if verdicts["port "+ln.Addr().String()] != "WARN" || verdicts["peer "+ln.Addr().String()] == "FAIL" || verdicts["fsync"] == "" || verdicts["CPU"] == "" {
		t.Errorf("%v", verdicts)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v: it left %v behind", err, left)
	}
}

func TestDoctor_TableHasTheRemedy(t *testing.T) {
	code, stdout, _ := quorate(t, nil, "doctor", "--data", write(t, "a-file", "x"), "--fsyncs", "10", "--listen", "", "--peers", "")
	if code != int(verdictFail) || !strings.Contains(stdout, "FAIL") || !strings.Contains(stdout, "is not a directory") || !strings.Contains(stdout, "--data") {
		t.Errorf("code %d, %q", code, stdout)
	}
	if code, _, stderr := quorate(t, nil, "doctor", "--fsyncs", "0"); code != int(severityUnknown) || !strings.Contains(stderr, "--fsyncs") {
		t.Errorf("code %d, %q", code, stderr)
	}
}

func TestSize_ForPeople(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1 << 20: "1.0 MiB", 3 << 29: "1.5 GiB", 1 << 63: "8192.0 PiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
