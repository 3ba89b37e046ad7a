//go:build linux

package chaos

import (
	"fmt"
	"time"
)

// borderRow is what was measured at one border.
type borderRow struct {
	place    string
	region   int
	members  int
	reading  bool
	in, back crossing    // for each message
	idle     [2]crossing // the same in a second without messages
	far      [2]time.Duration
	near     [2]time.Duration
}

// borderRows are printed by the last test of the process.
type borderRows struct{ rows []borderRow }

var borderTable borderRows

func (b *borderRows) add(r borderRow) { b.rows = append(b.rows, r) }

func (b *borderRows) print() {
	if len(b.rows) == 0 {
		return
	}
	fmt.Printf("\nBytes across a border for each message of %d bytes sent in a, and ms from send to receipt; idle traffic is subtracted\n\n", regionText)
	fmt.Println("| sequencers | to | members there | receipts | in: RESP | hubs | raft | packets | back: RESP | hubs | raft | packets | p50 there | p99 | p50 in a | p99 |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range b.rows {
		receipts := "no"
		if r.reading {
			receipts = "yes"
		}
		fmt.Printf("| %s | %s | %d | %s | %v | %v | %d | %d | %d | %d |\n", r.place, regionName(r.region), r.members, receipts, r.in, r.back,
			r.far[0].Milliseconds(), r.far[1].Milliseconds(), r.near[0].Milliseconds(), r.near[1].Milliseconds())
	}
	fmt.Print("\nThe same in a second without messages\n\n")
	fmt.Println("| sequencers | to | in: RESP | hubs | raft | packets | back: RESP | hubs | raft | packets |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	done := map[string]bool{}
	for _, r := range b.rows {
		if key := r.place + regionName(r.region); !done[key] { // once, while nobody reads
			done[key] = true
			fmt.Printf("| %s | %s | %v | %v |\n", r.place, regionName(r.region), r.idle[0], r.idle[1])
		}
	}
	fmt.Println()
}
