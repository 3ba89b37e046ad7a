// Package plan is arithmetic: from what one append, delivery, connection and message was measured to cost, and from what a service is to
// carry, to the machines, disks, links and object storage that it takes, and to what runs out first. Every unit cost says which command
// measured it, and everything that is not measured is an assumption with a name and a value that can be changed.
package plan
