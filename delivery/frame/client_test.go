package frame

import "github.com/quorate/quorate/delivery/frame/frametest"

// The frames of a client, by short names.
var (
	clientFrame = frametest.Frame
	text        = frametest.Text
	textStart   = frametest.Start
	more        = frametest.More
	end         = frametest.End
	ping        = frametest.Ping
	pong        = frametest.Pong
	closing     = frametest.Closing
	closeCode   = frametest.Close
	join        = frametest.Join
)

const fin = frametest.Fin
