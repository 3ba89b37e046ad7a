package archivetest

import "syscall"

// dieWithParent has a process end when the test does, however that ends.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
