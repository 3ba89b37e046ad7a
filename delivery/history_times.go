package delivery

import (
	"slices"
	"strings"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

// archivedTimes fills in when the last of the other members reached each of the archived messages: what the archive tells counts,
// and of those who came later what the sequencer tells.
func archivedTimes(rows []archive.Row, reach []wire.Reach, messages []wire.Message) {
	for i := range rows {
		delivered, read := lastOf(archivedReceipts(&rows[i], reach))
		messages[i].DeliveredAt, messages[i].ReadAt = delivered, read
	}
}

// lastOf gives the latest of times, 0 where one is missing and where there are none.
func lastOf(all []wire.Watermarks) (delivered, read wire.Millis) {
	allDelivered, allRead := true, true
	for i := range all {
		allDelivered = allDelivered && all[i].DeliveredAt > 0
		allRead = allRead && all[i].ReadAt > 0
		delivered, read = max(delivered, all[i].DeliveredAt), max(read, all[i].ReadAt)
	}
	if !allDelivered {
		delivered = 0
	}
	if !allRead {
		read = 0
	}
	return delivered, read
}

// archivedReceipts tells when each member but its sender, of those who may read it, got a message and read it.
func archivedReceipts(row *archive.Row, reach []wire.Reach) (all []wire.Watermarks) {
	for i := range reach {
		m := &reach[i]
		if m.UserID == row.SenderID || !m.Covers(row.Seq) {
			continue
		}
		got := wire.Watermarks{UserID: m.UserID, Delivered: m.Delivered, Read: m.Read}
		stored := storedReceipt(row.Receipts, m.UserID)
		if m.Delivered >= row.Seq {
			got.DeliveredAt = firstKnown(stored.DeliveredAt, m.DeliveredRises, row.Seq)
		}
		if m.Read >= row.Seq {
			got.ReadAt = firstKnown(stored.ReadAt, m.ReadRises, row.Seq)
		}
		all = append(all, got)
	}
	return all
}

// storedReceipt finds a member's times in the archive.
func storedReceipt(receipts []archive.Receipt, userID string) archive.Receipt {
	i, ok := slices.BinarySearchFunc(receipts, userID, func(r archive.Receipt, id string) int { return strings.Compare(r.UserID, id) })
	if !ok {
		return archive.Receipt{}
	}
	return receipts[i]
}

// firstKnown is the time in the archive, or else that of the first rise that reached the message.
func firstKnown(stored wire.Millis, rises []wire.Rise, seq wire.Seq) wire.Millis {
	if stored > 0 {
		return stored
	}
	for _, rise := range rises {
		if rise.Seq >= seq {
			return rise.At
		}
	}
	return 0
}
