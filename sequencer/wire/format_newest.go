//go:build !quorate_next

package wire

// NewestFormat is the last one that this program knows.
const NewestFormat Format = 4
