package measure

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CPUOf gives the processor time of processes of this machine. One that is not there counts for nothing.
func CPUOf(pids ...int) (total time.Duration) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		for _, text := range fields[11:13] {
			ticks, _ := strconv.ParseInt(text, 10, 64) // the kernel writes numbers
			total += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return total
}

// ResidentOf gives the resident memory of processes of this machine, in bytes.
func ResidentOf(pids ...int) (total uint64) {
	for _, pid := range pids {
		kib, _ := strconv.ParseUint(strings.TrimSuffix(procField(fmt.Sprintf("/proc/%d/status", pid), "VmRSS"), " kB"), 10, 64)
		total += kib << 10
	}
	return total
}

// Listeners finds the processes of this machine, but this one, that listen at any of these addresses. It finds none where an address
// is another machine's, or where it may not look.
func Listeners(addrs []string) (pids []int) {
	ports := map[string]bool{}
	for _, addr := range addrs {
		host, port, err := net.SplitHostPort(addr)
		if ip := net.ParseIP(host); err == nil && (host == "localhost" || ip != nil && isOurs(ip)) {
			n, _ := strconv.Atoi(port) // 0 is nobody's
			ports[fmt.Sprintf("%04X", n)] = true
		}
	}
	if len(ports) == 0 {
		return nil
	}
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listening(table, ports, inodes)
	}
	return holders(inodes)
}

func isOurs(ip net.IP) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, _ := net.InterfaceAddrs() // none is none of ours
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}

// listening adds the inodes of the sockets that listen on these ports.
func listening(table string, ports, inodes map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != "0A" { // LISTEN
			continue
		}
		if _, port, ok := strings.Cut(fields[1], ":"); ok && ports[port] {
			inodes["socket:["+fields[9]+"]"] = true
		}
	}
}

// holders finds the processes that have such a file open.
func holders(inodes map[string]bool) (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, dir := range names {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		files, _ := os.ReadDir(dir + "/fd") // not ours to see
		for _, f := range files {
			if link, err := os.Readlink(dir + "/fd/" + f.Name()); err == nil && inodes[link] {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}
