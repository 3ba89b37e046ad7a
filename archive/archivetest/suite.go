// Package archivetest has what tests of the archive need: object stores of all kinds, real and broken ones, and the suite that
// every kind must pass.
package archivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/quorate/quorate/archive"
)

// Run is what every store must do. It uses names of its own, so that it may run twice on one.
func Run(t *testing.T, store archive.Store) {
	t.Helper()
	base := fmt.Sprintf("suite/%08x", rand.Uint32())
	for name, test := range map[string]func(*testing.T, archive.Store, string){
		"what is put is got": putIsGot, "listed": listed, "replaced and deleted": replaced, "many at one time": concurrent, "hostile names": hostile,
	} {
		t.Run(name, func(t *testing.T) { test(t, store, base+"/"+strings.ReplaceAll(name, " ", "-")) })
	}
}

func random(size int) []byte {
	b := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)})
	_, _ = src.Read(b) // it never fails
	return b
}

func mustPut(t *testing.T, store archive.Store, key string, body []byte) {
	t.Helper()
	if err := store.Put(t.Context(), key, bytes.NewReader(body), int64(len(body))); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func putIsGot(t *testing.T, store archive.Store, base string) {
	for _, size := range []int{1, 100, 5 << 20, 37<<20 + 11} { // the last in several parts
		body := random(size)
		key := fmt.Sprintf("%s/%d", base, size)
		mustPut(t, store, key, body)
		for range 20 {
			from := rand.IntN(size)
			n := 1 + rand.IntN(min(size-from, 1<<20))
			got, err := store.Get(t.Context(), key, int64(from), int64(n))
			if err != nil || !bytes.Equal(got, body[from:from+n]) {
				t.Fatalf("%d bytes from %d of %d: %d bytes, %v", n, from, size, len(got), err)
			}
		}
		for _, beyond := range [][2]int64{{int64(size), 1}, {int64(size) - 1, 2}, {0, int64(size) + 1}} {
			if got, err := store.Get(t.Context(), key, beyond[0], beyond[1]); !errors.Is(err, archive.ErrCorrupt) {
				t.Errorf("%d bytes from %d of %d: %d bytes, %v", beyond[1], beyond[0], size, len(got), err)
			}
		}
	}
	if _, err := store.Get(t.Context(), base+"/none", 0, 1); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("an object that is not there: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Put(ended, base+"/ended", bytes.NewReader(random(1<<20)), 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("put after the end: %v", err)
	}
}

func listed(t *testing.T, store archive.Store, base string) {
	want := map[string]int64{}
	for i := range 1100 { // more than a page of S3
		key := fmt.Sprintf("%s/in/%d/%05d", base, i%3, i)
		body := []byte(key)
		mustPut(t, store, key, body)
		want[key] = int64(len(body))
	}
	mustPut(t, store, base+"/inside", []byte("x"))
	err := store.List(t.Context(), base+"/in/", func(o archive.Object) error {
		if size, ok := want[o.Key]; !ok || size != o.Size || o.ModifiedAt == 0 {
			t.Errorf("%+v", o)
		}
		delete(want, o.Key)
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%d are missing: %v", len(want), err)
	}
	stop, seen := errors.New("enough"), 0
	err = store.List(t.Context(), base+"/in/", func(archive.Object) error { seen++; return stop })
	if !errors.Is(err, stop) || seen != 1 {
		t.Errorf("stopped after %d: %v", seen, err)
	}
	if err := store.List(t.Context(), base+"/none/", func(o archive.Object) error { return fmt.Errorf("%+v", o) }); err != nil {
		t.Errorf("nothing: %v", err)
	}
}

func replaced(t *testing.T, store archive.Store, base string) {
	key := base + "/it"
	mustPut(t, store, key, []byte("first, and longer"))
	mustPut(t, store, key, []byte("second"))
	if got, err := store.Get(t.Context(), key, 0, 6); err != nil || string(got) != "second" {
		t.Errorf("%q, %v", got, err)
	}
	for range 2 {
		if err := store.Delete(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if _, err := store.Get(t.Context(), key, 0, 6); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

func concurrent(t *testing.T, store archive.Store, base string) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			key, body := fmt.Sprintf("%s/%d", base, i%4), random(100_000)
			for range 5 {
				if err := store.Put(t.Context(), key, bytes.NewReader(body), int64(len(body))); err != nil {
					t.Error(err)
				}
				if got, err := store.Get(t.Context(), key, 10, 50_000); err != nil || !bytes.Equal(got, body[10:50_010]) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

func hostile(t *testing.T, store archive.Store, base string) {
	for _, key := range []string{
		"", "/", "..", "../x", base + "/../../x", base + "//x", base + "/.", "/" + base, base + "/", base + "/a\x00b", base + "/a\nb", base + "/%2e%2e", base + "/é",
		base + "/" + strings.Repeat("x", 1025), base + "/a b", base + `/a\b`,
	} {
		if err := store.Put(t.Context(), key, strings.NewReader("x"), 1); !errors.Is(err, archive.ErrKey) {
			t.Errorf("put %q: %v", key, err)
		}
		if _, err := store.Get(t.Context(), key, 0, 1); !errors.Is(err, archive.ErrKey) {
			t.Errorf("get %q: %v", key, err)
		}
		if err := store.Delete(t.Context(), key); !errors.Is(err, archive.ErrKey) {
			t.Errorf("delete %q: %v", key, err)
		}
		if err := store.List(t.Context(), key, func(archive.Object) error { return nil }); key != base+"/" && !errors.Is(err, archive.ErrKey) {
			t.Errorf("list %q: %v", key, err)
		}
	}
	for _, bad := range [][2]int64{{-1, 1}, {0, 0}, {0, -1}, {0, 1 << 40}, {1 << 60, 1}} {
		if _, err := store.Get(t.Context(), base+"/x", bad[0], bad[1]); !errors.Is(err, archive.ErrCorrupt) {
			t.Errorf("%d bytes from %d: %v", bad[1], bad[0], err)
		}
	}
}
