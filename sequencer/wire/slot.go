package wire

import "strings"

// Slots is the number of hash slots, as in Redis Cluster.
const Slots = 16384

// Slot is one of the hash slots of a key; slots map to groups.
type Slot uint16

// SlotOf gives the slot of a key as Redis Cluster does: CRC16(key) mod 16384, of the part in the first {…} where that is
// not empty.
func SlotOf(key string) Slot {
	if open := strings.IndexByte(key, '{'); open >= 0 {
		if n := strings.IndexByte(key[open+1:], '}'); n > 0 {
			key = key[open+1 : open+1+n]
		}
	}
	var crc uint16
	for i := 0; i < len(key); i++ {
		crc = crc<<8 ^ crc16[byte(crc>>8)^key[i]]
	}
	return Slot(crc % Slots)
}

// GroupOf gives the group of a slot where the slots are spread evenly over n groups, n >= 1.
func GroupOf(slot Slot, n int) GroupID { return GroupID(int(slot) * n / Slots) }

// SlotRange gives the slots first to last, both included, of group g of n groups. It is the inverse of GroupOf.
func SlotRange(g GroupID, n int) (first, last Slot) {
	ceil := func(g int) int { return (g*Slots + n - 1) / n }
	return Slot(ceil(int(g))), Slot(ceil(int(g)+1) - 1)
}

// crc16 is the table of CRC-16/XMODEM (polynomial 0x1021), the one Redis uses.
var crc16 = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x1021
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()
