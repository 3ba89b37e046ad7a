package raftfsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// snapshotMetaName is the file in a snapshot's directory that says what it is of: a line of JSON as raft has it, and a line
// with the CRC-32C of the first, in hexadecimal digits.
const snapshotMetaName = "meta.json"

var errSnapshotMeta = errors.New("it does not fit its checksum")

func encodeSnapshotMeta(meta *raft.SnapshotMeta) ([]byte, error) {
	line, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	line = append(line, '\n')
	return fmt.Appendf(line, "%08x\n", crc32.Checksum(line, castagnoli)), nil
}

func decodeSnapshotMeta(body []byte) (*raft.SnapshotMeta, error) {
	i := bytes.IndexByte(body, '\n') + 1
	if string(body[i:]) != fmt.Sprintf("%08x\n", crc32.Checksum(body[:i], castagnoli)) {
		return nil, errSnapshotMeta
	}
	meta := &raft.SnapshotMeta{}
	if err := json.Unmarshal(body[:i], meta); err != nil {
		return nil, err
	}
	return meta, nil
}
