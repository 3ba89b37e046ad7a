package main

import (
	"fmt"
	"net"
	"strconv"
)

// splitAddr splits HOST:PORT.
func splitAddr(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", addr)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q has no usable port", addr)
	}
	return host, port, nil
}

// nthAddr is addr with a port higher by n; port 0, which is any free port, stays.
func nthAddr(addr string, n int) (string, error) {
	host, port, err := splitAddr(addr)
	if err != nil {
		return "", err
	}
	if port != 0 {
		port += n
	}
	if port > 65535 {
		return "", fmt.Errorf("%q leaves no ports for the next nodes", addr)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// checkLoopback says whether addr is an address of this machine alone. key names it in the error.
func checkLoopback(key, addr string) error {
	host, _, err := splitAddr(addr)
	if err != nil {
		return usagef("%s: %w", key, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usagef("%s must be a loopback address such as 127.0.0.1, not %q: without TLS nothing else is served", key, addr)
	}
	return nil
}

// checkNodeAddr says whether a port of a sequencer node may be at addr: anywhere with certificates, else on loopback. It is
// the address that others are told, so it is one of a machine and not of all its interfaces.
func checkNodeAddr(key, addr string, secured bool) error {
	if !secured {
		return checkLoopback(key, addr)
	}
	host, _, err := splitAddr(addr)
	if err != nil {
		return usagef("%s: %w", key, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return usagef("%s must be an address that other machines reach this one at, not %q", key, addr)
	}
	return nil
}
