package raftfsm

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// A snapshot on its way to another node is a stream: a header, then the files of the checkpoint. FORMAT.md tells it byte
// for byte.
const (
	streamMagic    = "QSNP"
	streamVersion  = 1
	streamFileHead = 2 + 8 // length of the name, size of the file
	streamFileTail = 4     // CRC-32C of name and content
	maxStreamFiles = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrSnapshotStream says that a snapshot arrived broken. Nothing of it is kept; raft sends it again.
var ErrSnapshotStream = errors.New("broken snapshot stream")

// lockName is the file that whoever opens a database leaves there.
const lockName = "LOCK"

// streamFile is one file of a checkpoint.
type streamFile struct {
	name string
	size int64
}

// listCheckpoint lists the files of a checkpoint by name, and how long their stream is.
func listCheckpoint(dir string) (files []streamFile, size int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	size = int64(len(streamMagic) + 1 + 2)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, 0, err
		}
		if e.Name() == lockName {
			continue
		}
		if !info.Mode().IsRegular() || !goodFileName(e.Name()) {
			return nil, 0, fmt.Errorf("checkpoint holds %q, which is no plain file", e.Name())
		}
		files = append(files, streamFile{e.Name(), info.Size()})
		size += int64(streamFileHead+len(e.Name())+streamFileTail) + info.Size()
	}
	sort.Slice(files, func(i, j int) bool { return files[i].name < files[j].name })
	return files, size, nil
}

// goodFileName allows the names that Pebble gives, and nothing that leads out of a directory.
func goodFileName(name string) bool {
	if name == "" || len(name) > 255 || name[0] == '.' {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// writeStream writes the files of a checkpoint. Tables are verified before they are sent: the checksum of the stream says
// only that what came is what was sent.
func writeStream(w io.Writer, dir string, files []streamFile) error {
	if _, err := w.Write(append([]byte(streamMagic), streamVersion)); err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasSuffix(f.name, tableSuffix) {
			if err := verifyTable(filepath.Join(dir, f.name)); err != nil {
				return fmt.Errorf("send %s: %w", f.name, err)
			}
		}
		if err := writeStreamFile(w, dir, f); err != nil {
			return fmt.Errorf("send %s: %w", f.name, err)
		}
	}
	_, err := w.Write([]byte{0, 0})
	return err
}

func writeStreamFile(w io.Writer, dir string, f streamFile) error {
	head := binary.BigEndian.AppendUint16(nil, uint16(len(f.name)))
	head = append(head, f.name...)
	head = binary.BigEndian.AppendUint64(head, uint64(f.size))
	if _, err := w.Write(head); err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(dir, f.name))
	if err != nil {
		return err
	}
	sum := crc32.New(castagnoli)
	_, _ = sum.Write([]byte(f.name))
	_, err = io.CopyN(io.MultiWriter(w, sum), file, f.size)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	_, err = w.Write(binary.BigEndian.AppendUint32(nil, sum.Sum32()))
	return err
}

// readStream unpacks a stream into dir, which must exist and be empty, and makes the files durable.
func readStream(r io.Reader, dir string) error {
	err := decodeStream(r, func(name string) (unpackedFile, error) {
		return os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	})
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// unpackedFile is where the content of a file goes: an *os.File.
type unpackedFile interface {
	io.WriteCloser
	Sync() error
}

// decodeStream reads a stream; create makes its files, each with a name of its own. What follows the stream's end is an
// error too.
func decodeStream(r io.Reader, create func(name string) (unpackedFile, error)) error {
	in := bufio.NewReaderSize(r, 64<<10)
	head := make([]byte, len(streamMagic)+1)
	if _, err := io.ReadFull(in, head); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshotStream, err)
	}
	if string(head[:4]) != streamMagic || head[4] != streamVersion {
		return fmt.Errorf("%w: not a stream of version %d", ErrSnapshotStream, streamVersion)
	}
	for n := 0; ; n++ {
		more, err := readStreamFile(in, create)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSnapshotStream, err)
		}
		if !more {
			break
		}
		if n == maxStreamFiles {
			return fmt.Errorf("%w: more than %d files", ErrSnapshotStream, maxStreamFiles)
		}
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: bytes behind the end", ErrSnapshotStream)
	}
	return nil
}

// readStreamFile unpacks the next file; it is false at the end mark.
func readStreamFile(in *bufio.Reader, create func(string) (unpackedFile, error)) (bool, error) {
	var length [2]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return false, err
	}
	n := binary.BigEndian.Uint16(length[:])
	if n == 0 {
		return false, nil
	}
	head := make([]byte, int(n)+8)
	if _, err := io.ReadFull(in, head); err != nil {
		return false, err
	}
	name, size := string(head[:n]), binary.BigEndian.Uint64(head[n:])
	if !goodFileName(name) || size > 1<<62 {
		return false, fmt.Errorf("a file %q of %d bytes", name, size)
	}
	file, err := create(name)
	if err != nil {
		return false, err
	}
	sum := crc32.New(castagnoli)
	_, _ = sum.Write([]byte(name))
	_, err = io.CopyN(io.MultiWriter(file, sum), in, int64(size))
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return false, err
	}
	var tail [streamFileTail]byte
	if _, err := io.ReadFull(in, tail[:]); err != nil {
		return false, err
	}
	if binary.BigEndian.Uint32(tail[:]) != sum.Sum32() {
		return false, fmt.Errorf("the checksum of %s is wrong", name)
	}
	return true, nil
}
