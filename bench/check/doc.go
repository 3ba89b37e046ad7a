// Package check judges what a cluster promised: that each chat is a gap-free numbered log, that an acknowledged message is in it
// for good, once, at its seq and with its text, that every member is shown all of it in order, that receipts only rise, and that
// whatever a sender had seen has a smaller stamp than what he sends. It takes what clients sent and were told, and knows no
// connection: the bench uses it while it measures, and the tests of faults use it after each fault.
package check
