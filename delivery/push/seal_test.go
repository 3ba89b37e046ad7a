package push

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/quorate/quorate/delivery/push/pushtest"
)

func decoded(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 8291, appendix A.
const (
	vectorPlain   = "When I grow up, I want to be a watermelon"
	vectorSender  = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
	vectorUA      = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
	vectorUAPoint = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	vectorSalt    = "DGv6ra1nlYgDCS1FRnbzlw"
	vectorAuth    = "BTBZMqHH6r4Tts7J_aSIgg"
	vectorSealed  = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_" +
		"yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)

func TestSeal_RFC8291Vector(t *testing.T) {
	keys, err := parseSubscription(&Device{P256DH: vectorUAPoint, Auth: vectorAuth})
	if err != nil {
		t.Fatal(err)
	}
	sender, err := ecdh.P256().NewPrivateKey(decoded(t, vectorSender))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := keys.sealWith([]byte(vectorPlain), sender, decoded(t, vectorSalt))
	if err != nil {
		t.Fatal(err)
	}
	if got := base64.RawURLEncoding.EncodeToString(sealed); got != vectorSealed {
		t.Errorf("sealed\n%s\nwant\n%s", got, vectorSealed)
	}
	ua, err := ecdh.P256().NewPrivateKey(decoded(t, vectorUA))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := pushtest.Receiver{Key: ua, Auth: decoded(t, vectorAuth)}.Open(decoded(t, vectorSealed))
	if err != nil || string(plain) != vectorPlain {
		t.Errorf("opened %q, %v", plain, err)
	}
}

func TestSeal_TheLongestFillsTheRecord(t *testing.T) {
	browser := pushtest.NewReceiver()
	keys, err := parseSubscription(&Device{P256DH: browser.P256DH(), Auth: base64.RawURLEncoding.EncodeToString(browser.Auth)})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, maxSealedPlain} {
		plain := bytes.Repeat([]byte{2}, size)
		sealed, err := keys.seal(plain)
		if err != nil {
			t.Fatal(err)
		}
		if size == maxSealedPlain && len(sealed) != 4096 {
			t.Errorf("the longest is %d bytes", len(sealed))
		}
		opened, err := browser.Open(sealed)
		if err != nil || !bytes.Equal(opened, plain) {
			t.Errorf("%d bytes: opened %d bytes, %v", size, len(opened), err)
		}
	}
	if _, err := keys.seal(make([]byte, maxSealedPlain+1)); err == nil {
		t.Error("one byte more was sealed")
	}
}

// badKeys are what no browser gives.
var badKeys = map[string]Device{
	"nothing":              {},
	"no base64":            {P256DH: strings.Repeat("!", 87), Auth: vectorAuth},
	"standard base64":      {P256DH: strings.ReplaceAll(vectorUAPoint, "_", "/"), Auth: vectorAuth},
	"a short point":        {P256DH: vectorUAPoint[:80], Auth: vectorAuth},
	"a compressed point":   {P256DH: "AiVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcx", Auth: vectorAuth},
	"infinity":             {P256DH: "AA", Auth: vectorAuth},
	"a point off the line": {P256DH: vectorUAPoint[:86] + "8", Auth: vectorAuth},
	"short auth":           {P256DH: vectorUAPoint, Auth: vectorAuth[:20]},
	"long auth":            {P256DH: vectorUAPoint, Auth: vectorAuth + "AAAA"},
	"no auth":              {P256DH: vectorUAPoint},
	"100 kB":               {P256DH: strings.Repeat("A", 100<<10), Auth: strings.Repeat("A", 100<<10)},
}

func TestSubscription_BadKeysAreRefused(t *testing.T) {
	for name, d := range badKeys {
		if _, err := parseSubscription(&d); !errors.Is(err, ErrBadDevice) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := parseSubscription(&Device{P256DH: vectorUAPoint + "=", Auth: vectorAuth + "=="}); err != nil {
		t.Errorf("padding, which some clients leave: %v", err)
	}
}

func FuzzSubscription(f *testing.F) {
	f.Add(vectorUAPoint, vectorAuth)
	for _, d := range badKeys {
		if len(d.P256DH) < 1000 {
			f.Add(d.P256DH, d.Auth)
		}
	}
	f.Fuzz(func(t *testing.T, p256dh, auth string) {
		keys, err := parseSubscription(&Device{P256DH: p256dh, Auth: auth})
		if err != nil {
			if !errors.Is(err, ErrBadDevice) {
				t.Fatal(err)
			}
			return
		}
		if _, err := keys.seal([]byte("hello")); err != nil {
			t.Fatalf("keys that were taken do not seal: %v", err)
		}
	})
}
