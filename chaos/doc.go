// Package chaos breaks a real cluster on purpose and looks whether it kept its promise. It has tests only: they run the
// quorate binary, one process a node, each node in a network namespace of its own and on a disk of its own where that
// matters, send messages at a known rate, and meanwhile kill, pause, cut off, starve and power off nodes. Afterwards every
// acknowledged message must stand where it was acknowledged, on every replica alike. DESIGN.md tells how.
package chaos
