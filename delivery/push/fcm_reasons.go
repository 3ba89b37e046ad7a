package push

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

const (
	unauthenticated = "UNAUTHENTICATED"
	badToken        = "INVALID_ARGUMENT token" // not Firebase's word: its INVALID_ARGUMENT, about the token
)

// fcmVerdicts has every error code that Firebase documents, and the statuses of Google's APIs that come without one.
var fcmVerdicts = map[string]verdict{
	"UNSPECIFIED_ERROR":      {kind: ErrUnavailable},
	"INVALID_ARGUMENT":       {kind: ErrRejected},
	badToken:                 {kind: ErrGone},
	"UNREGISTERED":           {kind: ErrGone},
	"SENDER_ID_MISMATCH":     {kind: ErrRejected}, // of another project; a wrong account in the configuration must cost no devices
	"QUOTA_EXCEEDED":         {kind: ErrUnavailable, all: true, wait: time.Minute},
	"UNAVAILABLE":            {kind: ErrUnavailable},
	"INTERNAL":               {kind: ErrUnavailable},
	"THIRD_PARTY_AUTH_ERROR": {kind: ErrRejected}, // FCM's own way to Apple or to browsers; Android goes on

	unauthenticated:       {kind: ErrUnavailable},
	"PERMISSION_DENIED":   {kind: ErrUnavailable}, // our account
	"NOT_FOUND":           {kind: ErrUnavailable}, // our project: without UNREGISTERED it says nothing of the device
	"RESOURCE_EXHAUSTED":  {kind: ErrUnavailable, all: true, wait: time.Minute},
	"FAILED_PRECONDITION": {kind: ErrUnavailable},
	"DEADLINE_EXCEEDED":   {kind: ErrUnavailable},
	"ABORTED":             {kind: ErrUnavailable},
	"UNKNOWN":             {kind: ErrUnavailable},
}

// fcmReason gives the word of an answer that says most, "" where there is none that is documented.
func fcmReason(body []byte) string {
	var said struct {
		Error struct {
			Message string `json:"message"`
			Status  string `json:"status"`
			Details []struct {
				ErrorCode       string `json:"errorCode"`
				FieldViolations []struct {
					Field string `json:"field"`
				} `json:"fieldViolations"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &said) != nil {
		return ""
	}
	reason := said.Error.Status
	aboutToken := strings.Contains(said.Error.Message, "registration token is not a valid")
	for _, d := range said.Error.Details {
		if d.ErrorCode != "" {
			reason = d.ErrorCode
		}
		for _, v := range d.FieldViolations {
			aboutToken = aboutToken || v.Field == "message.token"
		}
	}
	if _, known := fcmVerdicts[reason]; !known || reason == badToken {
		return ""
	}
	if reason == "INVALID_ARGUMENT" && aboutToken {
		return badToken
	}
	return reason
}

// meaning is what an answer of FCM's means.
func (f *fcm) meaning(said *answer) error {
	if said.status == http.StatusOK {
		return nil
	}
	if reason := fcmReason(said.body); reason != "" {
		return f.judged(said, reason, fcmVerdicts[reason])
	}
	switch said.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return f.troubled(said, "not authorized")
	default:
		return f.byStatus(said)
	}
}
