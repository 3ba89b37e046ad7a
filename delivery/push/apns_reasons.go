package push

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

const expiredProviderToken = "ExpiredProviderToken"

// verdict is what a provider's word for a failure means here.
type verdict struct {
	kind error
	all  bool          // of ErrUnavailable: the provider as a whole is meant
	wait time.Duration // of ErrUnavailable: when to try again, where the answer does not say; 0 leaves it to the caller
}

// apnsVerdicts has every reason that Apple documents. What is wrong with our key or our account is ErrUnavailable: nothing is lost
// while an operator sees to it.
var apnsVerdicts = map[string]verdict{
	"BadCollapseId":               {kind: ErrRejected},
	"BadDeviceToken":              {kind: ErrGone},
	"BadExpirationDate":           {kind: ErrRejected},
	"BadMessageId":                {kind: ErrRejected},
	"BadPriority":                 {kind: ErrRejected},
	"BadTopic":                    {kind: ErrRejected},
	"DeviceTokenNotForTopic":      {kind: ErrRejected}, // of another app of ours; a wrong topic in the configuration must cost no devices
	"DuplicateHeaders":            {kind: ErrRejected},
	"IdleTimeout":                 {kind: ErrUnavailable},
	"InvalidPushType":             {kind: ErrRejected},
	"MissingDeviceToken":          {kind: ErrRejected},
	"MissingTopic":                {kind: ErrRejected},
	"PayloadEmpty":                {kind: ErrRejected},
	"TopicDisallowed":             {kind: ErrRejected},
	"BadCertificate":              {kind: ErrUnavailable},
	"BadCertificateEnvironment":   {kind: ErrUnavailable},
	expiredProviderToken:          {kind: ErrUnavailable},
	"Forbidden":                   {kind: ErrUnavailable},
	"InvalidProviderToken":        {kind: ErrUnavailable},
	"MissingProviderToken":        {kind: ErrUnavailable},
	"UnrelatedKeyIdInToken":       {kind: ErrUnavailable},
	"BadEnvironmentKeyIdInToken":  {kind: ErrUnavailable},
	"BadPath":                     {kind: ErrRejected},
	"MethodNotAllowed":            {kind: ErrRejected},
	"ExpiredToken":                {kind: ErrGone},
	"Unregistered":                {kind: ErrGone},
	"PayloadTooLarge":             {kind: ErrRejected},
	"TooManyProviderTokenUpdates": {kind: ErrUnavailable, all: true, wait: time.Minute},
	"TooManyRequests":             {kind: ErrUnavailable, wait: 30 * time.Second}, // for one device
	"InternalServerError":         {kind: ErrUnavailable},
	"ServiceUnavailable":          {kind: ErrUnavailable},
	"Shutdown":                    {kind: ErrUnavailable},
}

// apnsReason gives the reason of an answer, "" where there is none that is documented.
func apnsReason(body []byte) string {
	var said struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(body, &said) != nil {
		return ""
	}
	if _, known := apnsVerdicts[said.Reason]; !known {
		return ""
	}
	return said.Reason
}

// meaning is what an answer of Apple's means.
func (a *apns) meaning(said *answer) error {
	if said.status == http.StatusOK {
		return nil
	}
	if reason := apnsReason(said.body); reason != "" {
		return a.judged(said, reason, apnsVerdicts[reason])
	}
	switch said.status {
	case http.StatusForbidden:
		return a.failure(ErrUnavailable, said.status, "not authorized")
	case http.StatusNotFound: // a wrong path, and no word of the device
		return a.failure(ErrRejected, said.status, "not found")
	default:
		return a.byStatus(said)
	}
}

// judged is a failure by its verdict.
func (c *caller) judged(a *answer, reason string, v verdict) error {
	switch {
	case !errors.Is(v.kind, ErrUnavailable):
		return c.failure(v.kind, a.status, reason)
	case v.wait > 0:
		return c.later(a, reason, v.wait, v.all)
	default:
		return c.troubled(a, reason)
	}
}
