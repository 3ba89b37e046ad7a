package main

import "syscall"

// withParent has the kernel kill a process when this test's process dies, however it dies.
func withParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
