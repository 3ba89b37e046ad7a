package backup

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// Where the objects of backups are. FORMAT.md tells what each holds.
const (
	allBackups  = "backups/"
	allTables   = "tables/"
	allSegments = "segments/" // copies, under the keys that they have in the archive

	begunName    = "begun.json"
	manifestName = "manifest.json"
)

var nameForm = regexp.MustCompile(`^[0-9]{8}T[0-9]{9}Z-[0-9a-f]{8}$`)

// NewName names a backup that begins now: names sort by time.
func NewName(now wire.Millis) string {
	var chance [4]byte
	_, _ = rand.Read(chance[:]) // never fails
	at := time.UnixMilli(int64(now)).UTC()
	return fmt.Sprintf("%s%03dZ-%s", at.Format("20060102T150405"), at.Nanosecond()/1e6, hex.EncodeToString(chance[:]))
}

// CheckName is nil where a name is one of a backup, ErrName otherwise.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%w: %.80q", ErrName, name)
	}
	return nil
}

func prefixOf(name string) string { return allBackups + name + "/" }
func begunKey(name string) string { return prefixOf(name) + begunName }
func wholeKey(name string) string { return prefixOf(name) + manifestName }

// tableKey has as many digits of the sum as a part of a key may have: all but the last four.
func tableKey(sum Sum) string {
	digits := sum.String()
	return allTables + digits[:2] + "/" + digits[2:60] + ".sst"
}

func groupKey(name string, g wire.GroupID) string {
	return fmt.Sprintf("%sgroup-%05d.json", prefixOf(name), g)
}

// fileKey is where a file of a group's checkpoint is: a table under its content, which backups share, any other beside the manifest.
func fileKey(name string, g wire.GroupID, f *File) string {
	if f.Table() {
		return tableKey(f.SHA256)
	}
	return fmt.Sprintf("%sfiles/%05d/%s", prefixOf(name), g, f.Name)
}

const tableSuffix = ".sst"

// Table tells whether the file is a table of the state, which is never written again.
func (f *File) Table() bool { return strings.HasSuffix(f.Name, tableSuffix) }
