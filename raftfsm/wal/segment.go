package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// segment is one file of the log.
type segment struct {
	name   string
	file   File
	header segmentHeader
	size   int64 // of the file
	live   int64 // bytes of records that are entries and not deleted; under the lock of state

	use sync.RWMutex // held shared while a record is read, so that the file stays what it is
}

// spare is a file that waits to become a segment.
type spare struct {
	name string
	file File
}

const (
	segmentSuffix = ".wal"
	sparePrefix   = "spare-"
)

func segmentName(number uint64) string { return fmt.Sprintf("%016x%s", number, segmentSuffix) }

// segmentNumber is false where a name is not that of a segment.
func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil && segmentName(n) == name
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// makeRoom makes sure that a frame of n bytes, and the confirming frame behind it, fit into the head.
func (l *Log) makeRoom(n int64) error {
	if l.end+n+frameHeaderSize <= l.head.size {
		if !l.inline && l.end > l.head.size/2 && len(l.spares) == 0 {
			select {
			case l.prepare <- struct{}{}:
			default:
			}
		}
		return nil
	}
	return l.roll(n)
}

// roll begins the next segment, with room for a frame of n bytes. Its header, which seals the segment before, is durable
// before its name is. Nothing is written into the old head, so when there is no room on the disk all is as before.
func (l *Log) roll(n int64) error {
	size := max(l.segmentBytes, segmentHeaderSize+n+frameHeaderSize+align)
	s, err := l.takeSpare(size)
	if err != nil {
		return err
	}
	next := &segment{file: s.file, size: size, header: segmentHeader{number: 1, salt: newSalt(), firstSeq: l.seq}}
	if l.head != nil {
		next.header.number, next.header.prevEnd = l.head.header.number+1, uint64(l.end)
	}
	next.name = segmentName(next.header.number)
	_, err = s.file.WriteAt(next.header.encode(), 0)
	if err == nil {
		err = s.file.Datasync()
	}
	if err == nil {
		err = l.fs.Rename(s.name, next.name)
	}
	if err == nil {
		err = l.fs.SyncDir()
	}
	if err != nil {
		return l.fail(errors.Join(fmt.Errorf("begin %s: %w", l.path(next.name), err), s.file.Close()))
	}
	l.state.Lock()
	l.segments = append(l.segments, next)
	l.state.Unlock()
	l.head, l.end = next, segmentHeaderSize
	return nil
}

// takeSpare gives a file of size bytes that no name of a segment leads to.
func (l *Log) takeSpare(size int64) (spare, error) {
	if size == l.segmentBytes {
		select {
		case s := <-l.spares:
			return s, nil
		default:
		}
	}
	return l.makeSpare(size)
}

// makeSpare makes such a file.
func (l *Log) makeSpare(size int64) (spare, error) {
	s := spare{name: l.spareName()}
	var err error
	if s.file, err = l.fs.Open(s.name, true); err == nil {
		if err = s.file.Allocate(size); err != nil {
			err = errors.Join(err, s.file.Close(), l.fs.Remove(s.name))
		}
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return s, fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return s, fmt.Errorf("make a segment: %w", err)
	}
	return s, nil
}

func (l *Log) spareName() string { return sparePrefix + strconv.FormatUint(l.spareID.Add(1), 10) }

// prepareSpares makes the next segment before it is needed.
func (l *Log) prepareSpares() {
	defer l.done.Done()
	for {
		select {
		case <-l.prepare:
		case <-l.closing:
			return
		}
		s, err := l.makeSpare(l.segmentBytes)
		if err != nil {
			continue // whoever needs the segment tries again and gets the error
		}
		if !l.offer(s) {
			_ = errors.Join(s.file.Close(), l.fs.Remove(s.name)) // Open removes what is left
		}
	}
}

// offer keeps a file for the next segment; it is false when there is one already.
func (l *Log) offer(s spare) bool {
	select {
	case l.spares <- s:
		return true
	default:
		return false
	}
}
