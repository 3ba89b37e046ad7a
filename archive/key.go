package archive

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/quorate/quorate/sequencer/wire"
)

// Key names a segment: after the cluster, the group and the term that it was made in, and the hash of its bytes. No id of a chat
// or user is ever part of a name.
func Key(info Info, sum [32]byte) string {
	return fmt.Sprintf("%s%016x-%s.parquet", GroupPrefix(info.Cluster, info.Group), info.Term, hex.EncodeToString(sum[:8]))
}

// ClusterPrefix is what the names of all segments of a cluster begin with.
func ClusterPrefix(cluster string) string { return "segments/" + cluster + "/" }

// GroupPrefix is what the names of all segments of a group begin with.
func GroupPrefix(cluster string, group wire.GroupID) string {
	return fmt.Sprintf("%s%05d/", ClusterPrefix(cluster), group)
}

var keyForm = regexp.MustCompile(`^segments/([A-Za-z0-9._-]{1,64})/([0-9]{5})/([0-9a-f]{16})-[0-9a-f]{16}\.parquet$`)

// ParseKey reads what the name of a segment says; it is false where the name is none.
func ParseKey(key string) (info Info, ok bool) {
	m := keyForm.FindStringSubmatch(key)
	if m == nil {
		return Info{}, false
	}
	group, err := strconv.ParseUint(m[2], 10, 32)
	if err != nil {
		return Info{}, false
	}
	term, err := strconv.ParseUint(m[3], 16, 64)
	return Info{Cluster: m[1], Group: wire.GroupID(group), Term: term}, err == nil
}

// maxKeyBytes is what every object store takes.
const maxKeyBytes = 512

// checkKey tells whether a name is one that the stores here use: parts of letters, digits and "._-", none of them a dot or two.
func checkKey(key string) error {
	if len(key) > maxKeyBytes {
		return fmt.Errorf("%w: %d bytes", ErrKey, len(key))
	}
	for part := range strings.SplitSeq(key, "/") {
		if err := wire.CheckID("a part", part); err != nil || strings.Trim(part, ".") == "" {
			return fmt.Errorf("%w: %q", ErrKey, key)
		}
	}
	return nil
}
