// Package bench is the yardstick of Quorate: its subpackages load a cluster from outside, as clients do, over REST, WebSocket and RESP, with
// nothing of the servers' inside. METHOD.md in this directory tells how it measures. Here is only what a cluster is compared with.
package bench
