//go:build quorate_next

package wire

// NewestFormat is one that does not exist yet: it is written like the one before, under its own number, so that an upgrade can
// be tested before there is a fifth format.
const NewestFormat Format = 5
