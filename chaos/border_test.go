//go:build linux

package chaos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// border joins two namespaces by a link that takes its time: a TUN device at each end, and between them this process, which carries each
// packet over after a while, in order, and counts it.
type border struct {
	delay time.Duration // in one direction
	ends  [2]*os.File
	count [2]traffic // by the end that it came from
	lost  atomic.Uint64
	pumps sync.WaitGroup
}

// traffic is how many bytes of packets went over a border, by what they are about.
type traffic struct{ packets, raft, sequencers, hubs, other atomic.Uint64 }

// crossing is traffic at a time, or in a time.
type crossing struct{ packets, raft, sequencers, hubs, other float64 }

func (t *traffic) now() crossing {
	return crossing{
		float64(t.packets.Load()), float64(t.raft.Load()), float64(t.sequencers.Load()), float64(t.hubs.Load()), float64(t.other.Load()),
	}
}

func (c crossing) plus(o crossing, times float64) crossing {
	return crossing{
		c.packets + times*o.packets, c.raft + times*o.raft, c.sequencers + times*o.sequencers, c.hubs + times*o.hubs, c.other + times*o.other,
	}
}

// per divides it, such as by a number of messages.
func (c crossing) per(n float64) crossing { return crossing{}.plus(c, 1/n) }

// delivery is what has to do with messages reaching clients, which replication has not.
func (c crossing) delivery() float64 { return c.sequencers + c.hubs + c.other }

// openBorder makes a border between two namespaces; the device has the same name in both. It ends with the test.
func openBorder(t *testing.T, device string, delay time.Duration, namespaces [2]string) *border {
	t.Helper()
	b := &border{delay: delay}
	for i, ns := range namespaces {
		err := within(ns, func() (err error) {
			b.ends[i], err = openTUN(device)
			return err
		})
		if err != nil {
			t.Fatalf("open a TUN device in %s: %v", ns, err)
		}
	}
	for i := range b.ends {
		ahead := make(chan packet, borderPackets)
		b.pumps.Go(func() { b.take(i, ahead) })
		b.pumps.Go(func() { b.put(1-i, ahead) })
	}
	t.Cleanup(func() {
		for _, end := range b.ends {
			_ = end.Close() // its reader ends with that
		}
		b.pumps.Wait()
		if lost := b.lost.Load(); lost > 0 {
			t.Errorf("%d packets found no room on the border %s", lost, device)
		}
	})
	return b
}

// borderPackets are on their way in one direction at most, 40 ms of over 100 MB/s; over that they are lost, which fails the test.
const borderPackets = 4096

// openTUN makes a TUN device in the namespace that the thread is in.
func openTUN(device string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(device)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), device), nil // now that it is a device, the runtime can wait for it
}

// packet is one on its way.
type packet struct {
	bytes []byte
	due   time.Time
}

// take reads what comes in at one end.
func (b *border) take(end int, ahead chan<- packet) {
	defer close(ahead)
	buf := make([]byte, 64<<10)
	for {
		n, err := b.ends[end].Read(buf)
		if err != nil {
			return // closed
		}
		if n < 20 || buf[0]>>4 != 4 {
			continue // the kernel's own chatter by IPv6
		}
		b.count[end].add(buf[:n])
		select {
		case ahead <- packet{append([]byte(nil), buf[:n]...), time.Now().Add(b.delay)}:
		default:
			b.lost.Add(1)
		}
	}
}

// put lets out what is due at one end.
func (b *border) put(end int, ahead <-chan packet) {
	for p := range ahead {
		time.Sleep(time.Until(p.due))
		if _, err := b.ends[end].Write(p.bytes); err != nil && errors.Is(err, os.ErrClosed) {
			return
		}
	}
}

// add counts an IPv4 packet.
func (t *traffic) add(p []byte) {
	t.packets.Add(1)
	size := uint64(len(p))
	header := int(p[0]&15) * 4
	if p[9] != unix.IPPROTO_TCP || len(p) < header+4 {
		t.other.Add(size)
		return
	}
	from, to := binary.BigEndian.Uint16(p[header:]), binary.BigEndian.Uint16(p[header+2:])
	switch is := func(port uint16) bool { return from == port || to == port }; {
	case is(raftPort):
		t.raft.Add(size)
	case is(respPort):
		t.sequencers.Add(size)
	case is(hubPort):
		t.hubs.Add(size)
	default:
		t.other.Add(size)
	}
}

// String is four columns of a table: bytes to and from RESP ports, hubs and all others, Raft ports; and packets.
func (c crossing) String() string {
	whole := func(bytes float64) int { return int(math.Round(bytes)) }
	return fmt.Sprintf("%d | %d | %d | %.1f", whole(c.sequencers), whole(c.hubs+c.other), whole(c.raft), c.packets)
}
