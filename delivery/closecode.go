package delivery

import (
	"strconv"
	"time"
)

// Close codes that this server sends, or reports to a connHandler. Those of RFC 6455 tell of the connection, those from 4000
// tell a client what to do next: 4000 to 4499 reconnect (the reason may hold "retryAfterMs=N") and resume, 4500 to 4999 stop.
const (
	closeNormal          = 1000 // the client or the session is done
	closeGoingAway       = 1001 // the client leaves, as a browser does when its page closes
	closeProtocol        = 1002 // the client broke RFC 6455
	closeUnsupported     = 1003 // a binary message; every message here is JSON text
	closeNoStatus        = 1005 // never sent: the client's close frame had no code
	closeAbnormal        = 1006 // never sent: TCP ended without a close frame
	closeInvalidData     = 1007 // text or close reason that is not UTF-8
	closePolicy          = 1008 // a flood of pings or of tiny fragments, or a message that never ends
	closeTooBig          = 1009 // a message over MaxFrameBytes
	closeInternal        = 1011 // a fault of this server
	closeDraining        = 4000 // this server stops; go to another one
	closeSlowConsumer    = 4001 // the client did not read for StallTimeout
	closeOverloaded      = 4002 // this server has too much to do
	closeUnauthenticated = 4500 // no token, or not a good one
	closeTokenExpired    = 4501 // the token's time ended while connected
	closeBadFrame        = 4503 // JSON that is not in the contract
	closeReplaced        = 4504 // the same device connected again
)

// retryReason is the reason that goes with codes 4000 to 4499: when the client may come back.
func retryReason(after time.Duration) string {
	return "retryAfterMs=" + strconv.FormatInt(after.Milliseconds(), 10)
}
