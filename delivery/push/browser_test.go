package push

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a browser does with a notification of ours. It cannot subscribe here, as there may be no Internet and so no push service: the
// receiver of pushtest decrypts in its place, and the DevTools give the worker what the push service's connection would.

// visible is a notification that a page finds.
type visible struct {
	Title, Body, Tag string
	Data             struct {
		ChatID         string
		SequenceNumber uint64
		Count          int
	}
}

// example is the documented page, open in a browser, with its worker active.
type example struct {
	*browser
	page, origin, registration string
}

func openExample(t *testing.T) *example {
	t.Helper()
	chromium := findChromium(t)
	site := httptest.NewServer(http.FileServer(http.Dir(filepath.Join("testdata", "browser"))))
	t.Cleanup(site.Close)
	e := &example{browser: startBrowser(t, chromium), origin: site.URL}
	e.page = e.open(site.URL)
	e.evaluate(e.page, "register().then(() => 'registered')")
	var update struct {
		Versions []struct{ RegistrationID, ScriptURL, Status string }
	}
	e.await("ServiceWorker.workerVersionUpdated", &update, func() bool {
		for _, v := range update.Versions {
			if strings.HasPrefix(v.ScriptURL, site.URL) && v.Status == "activated" {
				e.registration = v.RegistrationID
			}
		}
		return e.registration != ""
	})
	return e
}

// watch has the page tell, each time the worker has shown something, what is shown now.
func (e *example) watch() {
	e.t.Helper()
	e.call(e.page, "Runtime.addBinding", map[string]any{"name": "tell"}, nil)
	e.evaluate(e.page, `navigator.serviceWorker.addEventListener('message', async () => {
		const all = await (await navigator.serviceWorker.ready).getNotifications();
		tell(JSON.stringify(all.map(({title, body, tag, data}) => ({title, body, tag, data}))));
	})`)
}

// deliver gives the worker a decrypted payload, and tells what is shown then.
func (e *example) deliver(payload []byte) []visible {
	e.t.Helper()
	e.call(e.page, "ServiceWorker.deliverPushMessage",
		map[string]any{"origin": e.origin, "registrationId": e.registration, "data": string(payload)}, nil)
	var told struct{ Name, Payload string }
	e.await("Runtime.bindingCalled", &told, func() bool { return told.Name == "tell" })
	var all []visible
	e.decode([]byte(told.Payload), &all)
	return all
}

// TestBrowser_ShowsWhatWasPushed has one browser for all, since that is what takes the time.
func TestBrowser_ShowsWhatWasPushed(t *testing.T) {
	e := openExample(t)
	e.watch()
	s, _ := standWebPush(t)
	first, second := note(), note()
	second.Text, second.Seq, second.Count = "and \"ready\" 🫖", 8, 4
	other := note()
	other.ChatID, other.ChatName, other.CollapseKey = "coffee", "Coffee", "another"
	e.compare(e.deliver(s.payload(t, first)), first)
	e.compare(e.deliver(s.payload(t, second)), second) // it replaces the first, of the same chat
	e.compare(e.deliver(s.payload(t, other)), second, other)
	e.judgeKeys()
}

// payload sends a notification, and gives what the receiver decrypts.
func (s *stand) payload(t *testing.T, n *Notification) []byte {
	t.Helper()
	before := len(s.Received())
	if err := s.Send(within(t), s.device, n); err != nil {
		t.Fatalf("%v; %q", err, s.Faults())
	}
	return s.Await(t, before+1, patience)[before].Payload
}

func (e *example) compare(got []visible, want ...*Notification) {
	e.t.Helper()
	var wanted []visible
	for _, n := range want {
		one := visible{Title: n.ChatName, Body: n.Text, Tag: n.CollapseKey}
		one.Data.ChatID, one.Data.SequenceNumber, one.Data.Count = n.ChatID, n.Seq, n.Count
		wanted = append(wanted, one)
	}
	byTag := func(a, b visible) int { return strings.Compare(a.Tag, b.Tag) }
	slices.SortFunc(got, byTag)
	slices.SortFunc(wanted, byTag)
	if !slices.Equal(got, wanted) {
		e.t.Errorf("shown is %+v\nwant %+v", got, wanted)
	}
}

// judgeKeys has the browser judge keys, which it does before it asks a push service. Where it reaches none, a subscription with a good
// key waits for ever: that it is not refused when a bad one, which was tried after it, has been is what shows that it is good.
func (e *example) judgeKeys() {
	e.t.Helper()
	key, err := GenerateVAPID("mailto:push@example.com")
	if err != nil {
		e.t.Fatal(err)
	}
	const tried = "subscribe(%q).then(() => 'subscribed', err => err.name)"
	good := key.PublicKey
	for name, bad := range map[string]string{"cut": good[:len(good)-4], "no uncompressed point": "A" + good[1:]} {
		if said := e.evaluate(e.page, fmt.Sprintf(tried, bad)); said != "InvalidAccessError" {
			e.t.Errorf("a key that is %s: %q", name, said)
		}
		said := e.evaluate(e.page, fmt.Sprintf("Promise.race(["+tried+", "+tried+".then(() => 'waits')])", good, bad))
		if said == "InvalidAccessError" {
			e.t.Error("our key is refused")
		}
	}
}
