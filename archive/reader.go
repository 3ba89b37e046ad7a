package archive

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"

	"github.com/quorate/quorate/sequencer/wire"
)

// ReaderConfig bounds a Reader. A zero field takes its default.
type ReaderConfig struct {
	CacheBytes  int64         // of footers and row groups, 128 MiB
	Deadline    time.Duration // of one request to the store, 5 s
	Failures    int           // in a row, after which the store is left alone, 5
	Pause       time.Duration // for which it is, 2 s
	MaxRequests int           // to the store at one time, 32
}

func (c ReaderConfig) withDefaults() ReaderConfig {
	if c.CacheBytes <= 0 {
		c.CacheBytes = 128 << 20
	}
	if c.Deadline <= 0 {
		c.Deadline = 5 * time.Second
	}
	if c.Failures <= 0 {
		c.Failures = 5
	}
	if c.Pause <= 0 {
		c.Pause = 2 * time.Second
	}
	if c.MaxRequests <= 0 {
		c.MaxRequests = 32
	}
	return c
}

// Reader reads pages of chats out of segments. It keeps what it read last; equal reads at one time cost one. Safe for concurrent
// use.
type Reader struct {
	cfg     ReaderConfig
	store   Store
	breaker *gobreaker.CircuitBreaker[[][]byte]
	slots   chan struct{}
	flights singleflight.Group

	mu    sync.Mutex
	bytes int64
	parts map[partKey]*part
	order *list.List // of *part, the one used last in front
}

// partKey names a footer, with block -1, or a row group.
type partKey struct {
	key   string
	sum   [32]byte
	block int
}

// part is a piece of an object that is here. It stays as long as somebody uses it.
type part struct {
	partKey
	size   int64
	footer *footer // the segment that it is of
	users  int
	place  *list.Element
}

// NewReader makes a reader of a store.
func NewReader(store Store, cfg ReaderConfig) *Reader {
	cfg = cfg.withDefaults()
	r := &Reader{
		cfg: cfg, store: store, slots: make(chan struct{}, cfg.MaxRequests), parts: map[partKey]*part{}, order: list.New(),
	}
	r.breaker = gobreaker.NewCircuitBreaker[[][]byte](gobreaker.Settings{
		Name: "archive", Timeout: cfg.Pause,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(cfg.Failures) },
		// An object that is lost or broken says nothing of the others, nor does one who went away.
		IsSuccessful: func(err error) bool {
			return err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) || errors.Is(err, context.Canceled)
		},
	})
	return r
}

// Read gives the messages from to from+count-1 of a run of a segment. It makes sure that they are those of the chat: ErrCorrupt.
// With the footer here it costs one request to the store, with the row group here none. ErrUnavailable says that the store does
// not answer; while it does not, no more is asked of it than now and then. What comes back broken is asked for once more: it may have been the
// way, or one of several disks of the store.
func (r *Reader) Read(ctx context.Context, seg wire.Segment, run Range, from wire.Seq, count int) (rows []Row, err error) {
	err = again(func() (err error) {
		rows, err = r.read(ctx, seg, run, from, count)
		return err
	})
	return rows, err
}

// again does once more what comes back broken.
func again(get func() error) error {
	err := get()
	if errors.Is(err, ErrCorrupt) {
		err = get()
	}
	return err
}

func (r *Reader) read(ctx context.Context, seg wire.Segment, run Range, from wire.Seq, count int) ([]Row, error) {
	if from < run.From || count <= 0 || wire.Seq(count) > run.To-from+1 || run.Row+int64(run.To-run.From) >= seg.Rows {
		return nil, fmt.Errorf("%w: %d messages from %d on are not in %d to %d", wire.ErrBadRequest, count, from, run.From, run.To)
	}
	head, err := r.footer(ctx, &seg)
	if err != nil {
		return nil, err
	}
	defer r.release(head)
	f := head.footer
	if f.rows != seg.Rows {
		return nil, fmt.Errorf("%w: %s has %d rows, not %d", ErrCorrupt, seg.Key, f.rows, seg.Rows)
	}
	rows := make([]Row, 0, count)
	row := run.Row + int64(from-run.From)
	first, within := f.blockOf(row)
	last, _ := f.blockOf(row + int64(count) - 1)
	groups, err := r.blocks(ctx, &seg, f, first, last)
	if err != nil {
		return nil, err
	}
	defer r.release(groups...)
	for i := first; i <= last; i++ {
		part, err := f.someRows(i, within, int(min(f.blocks[i].rows-within, int64(count-len(rows)))))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", seg.Key, err)
		}
		rows, within = append(rows, part...), 0
	}
	for i := range rows {
		if rows[i].ChatID != run.ChatID || rows[i].Seq != from+wire.Seq(i) {
			return nil, fmt.Errorf("%w: %s has %s:%d where %s:%d should be", ErrCorrupt, seg.Key, rows[i].ChatID, rows[i].Seq, run.ChatID, from+wire.Seq(i))
		}
	}
	return rows, nil
}

// footer gives the footer of a segment, which the caller releases.
func (r *Reader) footer(ctx context.Context, seg *wire.Segment) (*part, error) {
	name := partKey{seg.Key, seg.SHA256, -1}
	if p := r.use(name); p != nil {
		return p, nil
	}
	if seg.FooterSize <= 0 || seg.FooterSize > min(seg.Size, maxFooterBytes) {
		return nil, fmt.Errorf("%w: a footer of %d bytes", ErrCorrupt, seg.FooterSize)
	}
	got, err := r.ask(ctx, name, 0, func(ctx context.Context) ([][]byte, error) {
		b, err := r.store.Get(ctx, seg.Key, seg.Size-seg.FooterSize, seg.FooterSize)
		return [][]byte{b}, err
	})
	if err != nil {
		return nil, err
	}
	if p := r.use(name); p != nil {
		return p, nil
	}
	f, err := openFooter(got[0], seg.Size, &seg.FooterCRC)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", seg.Key, err)
	}
	return r.keep(name, 2*seg.FooterSize, f), nil // its bytes, and what was made of them
}

// blocks makes row groups present, which the caller releases.
func (r *Reader) blocks(ctx context.Context, seg *wire.Segment, f *footer, first, last int) (all []*part, err error) {
	name := func(i int) partKey { return partKey{seg.Key, seg.SHA256, i} }
	for i := first; i <= last; i++ {
		p := r.use(name(i))
		if p == nil || p.footer != f { // of a footer that went and came back
			r.release(p)
			break
		}
		all = append(all, p)
	}
	if first += len(all); first > last {
		return all, nil
	}
	got, err := r.ask(ctx, name(first), last, func(ctx context.Context) ([][]byte, error) {
		return f.fetch(ctx, r.store, seg.Key, first, last)
	})
	if err != nil {
		r.release(all...)
		return nil, err
	}
	for i, b := range got {
		f.loaded.put(first+i, b)
		all = append(all, r.keep(name(first+i), int64(len(b)), f))
	}
	return all, nil
}

// ask makes a request to the store, once for all who want the same at one time.
func (r *Reader) ask(ctx context.Context, what partKey, last int, get func(context.Context) ([][]byte, error)) ([][]byte, error) {
	flight := r.flights.DoChan(fmt.Sprint(what.key, what.sum, what.block, last), func() (any, error) {
		// Who asked first may go away; the others still wait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Deadline)
		defer cancel()
		select {
		case r.slots <- struct{}{}:
			defer func() { <-r.slots }()
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: too many requests are under way", ErrUnavailable)
		}
		return r.breaker.Execute(func() ([][]byte, error) { return get(ctx) })
	})
	select {
	case res := <-flight:
		if errors.Is(res.Err, gobreaker.ErrOpenState) || errors.Is(res.Err, gobreaker.ErrTooManyRequests) || errors.Is(res.Err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, res.Err)
		}
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.([][]byte), nil //nolint:forcetypeassert // it is what the function above answers
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// use gives a part that is here, nil where it is not.
func (r *Reader) use(name partKey) *part {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.parts[name]
	if p != nil {
		p.users++
		r.order.MoveToFront(p.place)
	}
	return p
}

// keep takes a part in, which is used from the start, and lets go of what was used longest ago. Where another came first, the
// newer one takes its place.
func (r *Reader) keep(name partKey, size int64, f *footer) *part {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.parts[name]; old != nil {
		if old.footer == f {
			old.users++
			return old
		}
		r.remove(old)
	}
	p := &part{partKey: name, size: size, footer: f, users: 1}
	p.place = r.order.PushFront(p)
	r.parts[name] = p
	r.bytes += size
	for e := r.order.Back(); e != nil && r.bytes > r.cfg.CacheBytes; {
		oldest := e.Value.(*part) //nolint:forcetypeassert // the list has nothing else
		e = e.Prev()
		if oldest.users == 0 {
			r.remove(oldest)
		}
	}
	return p
}

func (r *Reader) remove(p *part) {
	if r.parts[p.partKey] == p {
		delete(r.parts, p.partKey)
		r.order.Remove(p.place)
		r.bytes -= p.size
		if p.block >= 0 && p.users == 0 {
			p.footer.loaded.drop(p.block)
		}
	}
}

// release says that parts are not used any more.
func (r *Reader) release(parts ...*part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range parts {
		if p != nil {
			p.users--
		}
	}
}
