package wire

import "strconv"

// SettingEpoch is where a cluster map keeps the epoch of its cluster: among the settings, which programs that do not know of epochs hand on.
// It is written with the first map and never again. Without it the epoch is FirstEpoch.
const SettingEpoch = "epoch"

// FirstEpoch is that of a cluster that began with nothing. One that began with a backup has another, greater than that of the cluster
// which was saved, and than that of every earlier restore: the time at which it began, in milliseconds.
const FirstEpoch = 1

// EpochOf gives the epoch that the settings of a cluster tell.
func EpochOf(settings map[string]string) uint64 {
	n, err := strconv.ParseUint(settings[SettingEpoch], 10, 64)
	if err != nil || n < FirstEpoch || n > uint64(MaxSeq) {
		return FirstEpoch
	}
	return n
}
