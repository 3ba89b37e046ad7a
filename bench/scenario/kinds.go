package scenario

import "slices"

// kinds are all scenarios.
var kinds = map[string]kind{
	"send": {
		about: "Send messages and wait for each ack, over RESP, WebSocket or REST",
		usual: Settings{Protocol: "resp", Rate: 1000, Senders: 64, Chats: 64, InFlight: 8192, Replay: 100},
		flags: []string{"protocol", "rate", "closed", "in-flight", "senders", "chats", "size-skew", "replay"},
		make:  newSend,
	},
	"live": {
		about: "Send to members who are online, and measure until they have it",
		usual: Settings{Rate: 500, Chats: 250, Members: 2, InFlight: 8192, Replay: 100},
		flags: []string{"rate", "closed", "in-flight", "chats", "members", "no-acks", "ramp", "size-skew", "replay"},
		make:  newLive,
	},
	"fanout": {
		about: "Send to one chat whose 256 members are all online",
		usual: Settings{Rate: 20, Chats: 1, Members: 256, InFlight: 4096, Replay: 100},
		flags: []string{"rate", "closed", "in-flight", "chats", "members", "no-acks", "ramp", "size-skew", "replay"},
		make:  newLive,
	},
	"idle": {
		about: "Open connections that do nothing, and look what they cost",
		usual: Settings{Connections: 1000, Ramp: 1000, Chats: 20, Members: 256},
		flags: []string{"connections", "users", "first-user", "run", "ramp", "chats", "members"},
		make:  newIdle,
	},
	"reconnect": {
		about: "Drop everyone's connection at once, and measure until each has caught up",
		usual: Settings{Connections: 1000, Ramp: 2000, Members: 10, Rate: 200},
		flags: []string{"connections", "ramp", "members", "rate"},
		make:  newReconnect,
	},
	"catchup": {
		about: "Connect members who have missed messages, and measure until they have them",
		usual: Settings{Chats: 20, Members: 4, Behind: 5000, Rate: 2, InFlight: 64},
		flags: []string{"chats", "members", "behind", "rate", "in-flight", "archived"},
		make:  newCatchup,
	},
	"history": {
		about: "Read pages from random places of chats",
		usual: Settings{Protocol: "rest", Chats: 20, Members: 4, Behind: 2000, Page: 50, Rate: 200, InFlight: 1024},
		flags: []string{"protocol", "chats", "members", "behind", "page", "rate", "in-flight", "skew", "archived"},
		make:  newHistory,
	},
	"receipts": {
		about: "Read messages as they come, and measure until their senders are told",
		usual: Settings{Rate: 200, Chats: 100, Members: 2, Replay: 100},
		flags: []string{"rate", "chats", "members", "ramp", "size-skew", "replay"},
		make:  newReceipts,
	},
	"mixed": {
		about: "A day of a messenger in small: skewed chats, receipts, typing, connections that come and go",
		usual: Settings{Connections: 300, Chats: 200, Members: 256, Rate: 200, Skew: 0.8, SizeSkew: 1, Replay: 50, Size: 80},
		flags: []string{"connections", "chats", "members", "rate", "ramp", "skew", "size-skew", "replay"},
		make:  newMixed,
	},
}

// Names lists the scenarios.
func Names() (names []string) {
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// About says what a scenario does.
func About(name string) string { return kinds[name].about }

// Usual gives the settings that a scenario has where nothing else is said.
func Usual(name string) Settings { return kinds[name].usual }

// Flags lists the settings that a scenario looks at, of those that not every one does.
func Flags(name string) []string { return kinds[name].flags }
