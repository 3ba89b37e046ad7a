// Package wire is what both tiers of Quorate share: the domain's words as types, the limits, the slot of a key,
// the typed errors, the RESP codec and the pipelined client. It is a leaf: it imports nothing of ours.
package wire
