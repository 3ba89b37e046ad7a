package push

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// hostileURLs are what an endpoint must not be, whether push services or any public host are allowed.
var hostileURLs = map[string]string{
	"nothing":                       "",
	"http":                          "http://fcm.googleapis.com/x",
	"gopher":                        "gopher://fcm.googleapis.com:70/x",
	"file":                          "file:///etc/passwd",
	"ftp":                           "ftp://fcm.googleapis.com/x",
	"javascript":                    "javascript:alert(1)",
	"no scheme":                     "//fcm.googleapis.com/x",
	"opaque":                        "https:fcm.googleapis.com/x",
	"loopback":                      "https://127.0.0.1/x",
	"another loopback":              "https://127.1.2.3/x",
	"IPv6 loopback":                 "https://[::1]/x",
	"mapped loopback":               "https://[::ffff:127.0.0.1]/x",
	"mapped loopback in hex":        "https://[::ffff:7f00:1]/x",
	"unspecified":                   "https://0.0.0.0/x",
	"unspecified v6":                "https://[::]/x",
	"metadata":                      "https://169.254.169.254/latest/meta-data/",
	"metadata v6":                   "https://[fd00:ec2::254]/x",
	"private":                       "https://10.0.0.1/x",
	"private 172":                   "https://172.16.0.1/x",
	"private 192":                   "https://192.168.0.1/x",
	"carrier NAT":                   "https://100.64.0.1/x",
	"benchmarks":                    "https://198.18.0.1/x",
	"link-local with zone":          "https://[fe80::1%25eth0]/x",
	"unique local":                  "https://[fc00::1]/x",
	"public address":                "https://8.8.8.8/x",
	"decimal address":               "https://2130706433/x",
	"octal address":                 "https://0177.0.0.1/x",
	"long octal address":            "https://017700000001/x",
	"hex address":                   "https://0x7f000001/x",
	"dotted hex address":            "https://0x7f.0x0.0x0.0x1/x",
	"short address":                 "https://127.1/x",
	"address with a dot behind":     "https://127.0.0.1./x",
	"full-width digits":             "https://１２７.０.０.１/x",
	"circled digits":                "https://①②⑦.⓪.⓪.①/x",
	"ideographic dots":              "https://127。0。0。1/x",
	"localhost":                     "https://localhost/x",
	"localhost.":                    "https://localhost./x",
	"upper-case localhost":          "https://LOCALHOST/x",
	"a single label":                "https://internal/x",
	"a name with a dot behind":      "https://fcm.googleapis.com./x",
	"a user":                        "https://user@fcm.googleapis.com/x",
	"a user and a password":         "https://fcm.googleapis.com:443@evil.example/x",
	"an empty user":                 "https://@fcm.googleapis.com/x",
	"port 22":                       "https://fcm.googleapis.com:22/x",
	"port 80":                       "https://fcm.googleapis.com:80/x",
	"port 8443":                     "https://fcm.googleapis.com:8443/x",
	"port 0":                        "https://fcm.googleapis.com:0/x",
	"port 0443":                     "https://fcm.googleapis.com:0443/x",
	"port 65979, which wraps":       "https://fcm.googleapis.com:65979/x",
	"an empty port":                 "https://fcm.googleapis.com:/x",
	"Cyrillic look-alike":           "https://fcm.googleapis.cоm/x",
	"dotless i":                     "https://fcm.googleapıs.com/x",
	"a backslash":                   `https://fcm.googleapis.com\@evil.example/x`,
	"a backslash for a slash":       `https:\\fcm.googleapis.com/x`,
	"an encoded host":               "https://%66cm.googleapis.com/x",
	"an encoded dot":                "https://fcm%2egoogleapis.com/x",
	"a space in the host":           "https://fcm.googleapis.com /x",
	"a tab":                         "https://fcm.googleapis.com\t/x",
	"a line end":                    "https://fcm.googleapis.com/x\r\nHost: evil.example",
	"NUL":                           "https://fcm.googleapis.com\x00.evil.example/x",
	"a fragment":                    "https://fcm.googleapis.com/x#y",
	"an empty fragment":             "https://fcm.googleapis.com/x#",
	"an underscore":                 "https://fcm_.googleapis.com/x",
	"a hyphen first":                "https://-fcm.googleapis.com/x",
	"empty labels":                  "https://fcm..googleapis.com/x",
	"only a port":                   "https://:443/x",
	"upper case":                    "https://FCM.googleapis.com/x",
	"100 kB":                        "https://fcm.googleapis.com/" + strings.Repeat("x", 100<<10),
	"a label of 64":                 "https://" + strings.Repeat("a", 64) + ".googleapis.com/x",
	"a name of 300":                 "https://" + strings.Repeat("a.", 150) + "com/x",
	"a last label that is a number": "https://evil.0x7f/x",
}

func TestTarget_HostileURLsAreRefused(t *testing.T) {
	for _, hosts := range []hostPatterns{KnownPushHosts, {"*"}} {
		for name, endpoint := range hostileURLs {
			got, err := parseTarget(endpoint, hosts, nil)
			if !errors.Is(err, ErrBadDevice) {
				t.Errorf("%s: %q gives %+v, %v", name, endpoint, got, err)
				continue
			}
			if len(endpoint) > 8 && strings.Contains(err.Error(), endpoint) {
				t.Errorf("%s: the error repeats the endpoint", name)
			}
		}
	}
}

func TestTarget_KnownPushServicesAreTaken(t *testing.T) {
	for _, endpoint := range []string{
		"https://fcm.googleapis.com/fcm/send/c1KrmpTuRm8:APA91b",
		"https://fcm.googleapis.com:443/wp/abc",
		"https://jmt17.google.com/fcm/send/abc",
		"https://updates.push.services.mozilla.com/wpush/v2/gAAAA?x=1",
		"https://web.push.apple.com/QAbc_-",
		"https://wns2-par02p.notify.windows.com/w/?token=BQYAAA%2b",
	} {
		got, err := parseTarget(endpoint, KnownPushHosts, nil)
		if err != nil || !got.known || got.url.String() != endpoint {
			t.Errorf("%s: %+v, %v", endpoint, got, err)
		}
	}
	for _, endpoint := range []string{ // like them, and not them
		"https://evilfcm.googleapis.com/x", "https://fcm.googleapis.com.evil.example/x", "https://notify.windows.com/x",
		"https://evil-notify.windows.com/x", "https://xn--fcm-googleapis-com.example/x", "https://fcm.googleapis.co/x", "https://example.com/x",
		"https://storage.googleapis.com/x",
	} {
		if _, err := parseTarget(endpoint, KnownPushHosts, nil); !errors.Is(err, ErrBadDevice) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestTarget_AnyPublicHost(t *testing.T) {
	got, err := parseTarget("https://xn--bcher-kva.example/hook?a=b", hostPatterns{"*", "hooks.example.com"}, nil)
	if err != nil || got.known || got.origin() != "https://xn--bcher-kva.example" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = parseTarget("https://hooks.example.com:443/hook", hostPatterns{"*", "hooks.example.com"}, nil); err != nil || !got.known ||
		got.origin() != "https://hooks.example.com" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTarget_AllowedHostsHaveAnyAddressAndTheirPort(t *testing.T) {
	allowed, err := parseAllowed([]string{"127.0.0.1:8443", "[::1]:8443", "push", "push.internal:444"})
	if err != nil {
		t.Fatal(err)
	}
	for endpoint, taken := range map[string]bool{
		"https://127.0.0.1:8443/x":    true,
		"https://[::1]:8443/x":        true,
		"https://push/x":              true,
		"https://push:443/x":          true,
		"https://push.internal:444/x": true,
		"https://127.0.0.1/x":         false,
		"https://127.0.0.1:8444/x":    false,
		"https://[::1]/x":             false,
		"https://push:444/x":          false,
		"http://127.0.0.1:8443/x":     false,
		"https://u@127.0.0.1:8443/x":  false,
		"https://push.internal/x":     false,
	} {
		if _, err := parseTarget(endpoint, nil, allowed); (err == nil) != taken {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestConfig_BadListsOfHosts(t *testing.T) {
	for _, p := range []string{"", "*.", "*x", "https://a.example", "a.example:443", "A.example", "a/b", "*.*", "10.0.0.1"} {
		if _, err := parsePatterns([]string{p}); err == nil {
			t.Errorf("the pattern %q is taken", p)
		}
	}
	for _, h := range []string{"", "*", "*.example.com", "https://a", "a/b", "u@a", "A", "[fe80::1%25eth0]:1", "a?b"} {
		if _, err := parseAllowed([]string{h}); err == nil {
			t.Errorf("the host %q is allowed", h)
		}
	}
}

func TestAddress_OnlyPublicOnes(t *testing.T) {
	for address, public := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700:4700::1111": true, "::ffff:8.8.8.8": true, "100.63.255.255": true, "100.128.0.0": true,
		"198.17.255.255": true, "198.20.0.0": true, "172.15.255.255": true, "172.32.0.0": true, "2001:4860:4860::8888": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "100.64.0.0": false, "100.127.255.255": false, "127.0.0.1": false,
		"127.255.255.255": false, "169.254.169.254": false, "172.16.0.0": false, "172.31.255.255": false, "192.0.0.1": false, "192.0.2.1": false,
		"192.88.99.1": false, "192.168.1.1": false, "198.18.0.0": false, "198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false,
		"224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false, "::": false, "::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "100::1": false,
		"2001::1": false, "2001:db8::1": false, "2002:7f00:1::1": false, "3fff::1": false, "fc00::1": false, "fd00:ec2::254": false,
		"fe80::1": false, "fec0::1": false, "ff02::1": false, "5f00::1": false,
	} {
		if got := isPublic(netip.MustParseAddr(address)); got != public {
			t.Errorf("%s: public %v", address, got)
		}
	}
	if isPublic(netip.Addr{}) || isPublic(netip.MustParseAddr("2606::1%eth0")) {
		t.Error("no address, or one with a zone, is public")
	}
}

func FuzzTarget(f *testing.F) {
	for _, endpoint := range hostileURLs {
		if len(endpoint) < 1000 {
			f.Add(endpoint)
		}
	}
	f.Add("https://fcm.googleapis.com/fcm/send/x")
	f.Add("https://hooks.example.com/x?y=z")
	f.Fuzz(func(t *testing.T, endpoint string) {
		got, err := parseTarget(endpoint, hostPatterns{"*"}, nil)
		if err != nil {
			if !errors.Is(err, ErrBadDevice) {
				t.Fatal(err)
			}
			return
		}
		// What is requested must mean the same to whoever reads it again, and never an address.
		again, err := url.Parse(got.url.String())
		if err != nil || again.Host != got.url.Host || again.Scheme != "https" || again.User != nil {
			t.Fatalf("%q becomes %v, %v", endpoint, again, err)
		}
		if _, err := netip.ParseAddr(again.Hostname()); err == nil || port(again) != "443" || !isHostname(again.Hostname()) {
			t.Fatalf("%q was taken", endpoint)
		}
		for _, c := range []byte(got.url.String()) {
			if c <= ' ' || c > '~' {
				t.Fatalf("%q is requested as %q", endpoint, got.url.String())
			}
		}
	})
}
