// Package sysmon lets the Go runtime's monitor rest. The monitor is a thread that looks every 20 µs whether a core's worth of goroutines waits
// behind a system call that blocks, and goes on so for a millisecond after each that did. A process that syncs a disk or writes to many sockets
// some hundred times a second so has it awake for all the time: 2 % of two cores for each of five processes, 9 % of the machine in all, and each
// look may take a core from whoever works. Nothing in Go sets its pace. But it sleeps by nanosleep, and how late the kernel may end that is an
// attribute of the thread.
package sysmon
