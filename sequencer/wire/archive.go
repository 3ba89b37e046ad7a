package wire

// Segment names an object of the archive, with all that is needed to trust its bytes.
type Segment struct {
	Key        string // in the object store
	Size       int64  // of the object, in bytes
	FooterSize int64  // of its last bytes, which tell where everything else is
	FooterCRC  uint32 // CRC-32C of those
	SHA256     [32]byte
	Rows       int64  // messages in it
	NewestAt   Millis // when the newest of them was sent
}

// ArchivedRun is where a run of a chat's log stands in the archive: the rows of the segment from Row on, one a seq.
type ArchivedRun struct {
	From, To Seq // both included
	Row      int64
	Segment  *Segment
}

// Reach tells when a member reached messages, as far as the archive does not: for each message that which stands in the
// archive counts, or else the first of these rises at its seq or behind.
type Reach struct {
	Member
	Delivered, Read           Seq    // the present watermarks
	DeliveredRises, ReadRises []Rise // ascending
}

// Rise is a watermark's coming to a seq.
type Rise struct {
	Seq Seq
	At  Millis
}
