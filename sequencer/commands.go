package sequencer

import (
	"strings"
)

// command is one entry of the table of commands: how it runs, and what COMMAND tells of it.
type command struct {
	name    string
	arity   int    // with the name, as Redis counts: negative for at least
	key     int    // position of the key, 0 for none
	flags   string // of Redis, separated by a space
	preAuth bool   // runs before AUTH
	right   right  // that it takes
	number  int    // from 1; init sets it

	// run starts the command and sees to it that k is finished once, or answers an error.
	run func(c *conn, k *call, a args) error
	// cost bounds the bytes of the answer from the arguments, where that may be more than a little. It is called before
	// they are checked.
	cost func(c *conn, a args) int

	// reads reports whether rightRead is enough with these arguments; nil is never.
	reads func(a args) bool

	group, summary, complexity string
}

// needs is the right that a command takes with these arguments.
func (known *command) needs(a args) right {
	if known.reads != nil && known.reads(a) {
		return rightRead
	}
	return known.right
}

// subcommands is for command.reads: it is enough to read for the named subcommands. All others take the command's right.
func subcommands(names ...string) func(args) bool {
	return func(a args) bool {
		for _, name := range names {
			if a.is(1, name) {
				return true
			}
		}
		return false
	}
}

// table holds all commands. docs/resp.md has a section for each.
var table = []*command{
	{
		name: "CHAT.CREATE", arity: -4, key: 1, flags: "write", run: chatCreate, cost: chatCost,
		right: rightWrite,
		group: "chat", summary: "Makes a chat, or finds the same one made before.", complexity: "O(M) with M members",
	},
	{
		name: "CHAT.GET", arity: -2, key: 1, flags: "readonly", run: chatGet, cost: chatCost,
		right: rightRead,
		group: "chat", summary: "Gives a chat, as one member sees it where asked.", complexity: "O(M) with M members",
	},
	{
		name: "CHAT.MEMBERS", arity: -2, key: 1, flags: "write", run: chatMembers, cost: chatCost,
		right: rightWrite, reads: func(a args) bool { return len(a) == 2 },
		group: "chat", summary: "Changes or lists the members of a chat.", complexity: "O(M) with M members",
	},
	{
		name: "CHAT.APPEND", arity: -5, key: 1, flags: "write fast", run: chatAppend,
		right: rightWrite,
		group: "chat", summary: "Offers a message to a chat.", complexity: "O(1)",
	},
	{
		name: "CHAT.RANGE", arity: -4, key: 1, flags: "readonly", run: chatRange, cost: rangeCost,
		right: rightRead,
		group: "chat", summary: "Reads a page of a chat's log.", complexity: "O(N) with N messages; with TIMES O(N*M)",
	},
	{
		name: "CHAT.HEAD", arity: -2, key: 1, flags: "readonly fast", run: chatHead, cost: listCost,
		right: rightRead,
		group: "chat", summary: "Tells how far the logs of chats go.", complexity: "O(K) with K chats",
	},
	{
		name: "CHAT.RECEIPT", arity: -3, key: 1, flags: "write fast", run: chatReceipt, cost: listCost,
		right: rightWrite,
		group: "chat", summary: "Raises what members have been delivered and have read.", complexity: "O(U) with U users",
	},
	{
		name: "CHAT.RECEIPTS", arity: -2, key: 1, flags: "readonly", run: chatReceipts, cost: chatCost,
		right: rightRead,
		group: "chat", summary: "Tells how far members are, or when they got a message.", complexity: "O(M) with M members",
	},
	{
		name: "CHAT.RETENTION", arity: -2, key: 1, flags: "write fast", run: chatRetention,
		right: rightAll, reads: func(a args) bool { return len(a) == 2 },
		group: "chat", summary: "Tells or sets for how long a chat's messages are kept.", complexity: "O(1)",
	},
	{
		name: "USER.CHATS", arity: -2, key: 1, flags: "readonly", run: userChats, cost: userChatsCost,
		right: rightRead,
		group: "user", summary: "Reads a page of a user's chat list.", complexity: "O(N) with N chats",
	},
	{
		name: "USER.PAIR", arity: -4, key: 1, flags: "write fast", run: userPair,
		right: rightWrite,
		group: "user", summary: "Claims the one direct chat of two users.", complexity: "O(1)",
	},
	{
		name: "USER.SEEN", arity: -2, key: 1, flags: "write fast", run: userSeen,
		right: rightWrite, reads: func(a args) bool { return !a.is(2, "AT") },
		group: "user", summary: "Tells or raises when a user was last seen.", complexity: "O(1)",
	},
	{
		name: "USER.PUTCHAT", arity: 7, key: 1, flags: "write fast", run: userPutChat,
		right: rightAll,
		group: "user", summary: "Writes a line of a chat list. Nodes send it to each other.", complexity: "O(1)",
	},
	{
		name: "USER.DEVICES", arity: -2, key: 1, flags: "write fast", run: userDevices, cost: devicesCost,
		right: rightWrite, reads: func(a args) bool { return len(a) == 2 || len(a) == 3 && a.is(2, "STALE") },
		group: "user", summary: "Tells or changes which devices of a user get notifications.", complexity: "O(D) with D devices",
	},
	{
		name: "USER.MUTE", arity: 4, key: 1, flags: "write fast", run: userMute,
		right: rightWrite,
		group: "user", summary: "Says until when a user wants no notifications of a chat.", complexity: "O(1)",
	},
	{
		name: "FEED.READ", arity: -3, flags: "readonly blocking", run: feedRead, cost: feedCost,
		right: rightRead,
		group: "feed", summary: "Reads events of a group's feed.", complexity: "O(N) with N events",
	},
	{
		name: "FEED.HEAD", arity: 2, flags: "readonly fast", run: feedHead,
		right: rightRead,
		group: "feed", summary: "Tells where a group's feed ends and begins.", complexity: "O(1)",
	},
	{
		name: "FEED.COMMIT", arity: 4, flags: "write fast", run: feedCommit,
		right: rightWrite,
		group: "feed", summary: "Raises the offset from which a consumer of a feed goes on.", complexity: "O(1)",
	},
	{
		name: "FEED.COMMITTED", arity: -3, flags: "readonly fast", run: feedCommitted,
		right: rightRead,
		group: "feed", summary: "Tells the offset from which a consumer of a feed goes on.", complexity: "O(1)",
	},
	{
		name: "CLUSTER", arity: -2, flags: "stale loading", run: cluster, cost: tableCost,
		right: rightAll, reads: subcommands("SLOTS", "SHARDS", "NODES", "KEYSLOT", "COUNTKEYSINSLOT", "INFO", "MYID", "STATUS", "SETTINGS", "HELP"),
		group: "cluster", summary: "Tells who holds what, and changes it.", complexity: "O(G) with G groups",
	},
	{
		name: "LEASE", arity: -2, flags: "write fast", run: leaseCommand, cost: leaseCost,
		right: rightWrite, reads: subcommands("GET", "LIST", "HELP"),
		group: "cluster", summary: "Takes, drops or shows rights that end by time.", complexity: "O(N) with N leases",
	},
	{
		name: "RAFT", arity: -2, flags: "admin stale", run: raftCommand, cost: tableCost,
		right: rightAll, reads: subcommands("PEERS", "STATUS", "HELP"),
		group: "cluster", summary: "Shows the replicas of groups and moves leadership.", complexity: "O(G) with G groups",
	},
	{
		name: "ARCHIVE", arity: -2, flags: "admin", run: archiveCommand, cost: archiveCost,
		right: rightAll, reads: subcommands("STATUS", "SEGMENTS", "INDEX", "HELP"),
		group: "cluster", summary: "Shows what of a group is in the archive, and archives.", complexity: "O(N) with N lines",
	},
	{
		name: "BACKUP", arity: -2, flags: "admin", run: backupCommand, cost: tableCost,
		right: rightAll, reads: subcommands("HELP"),
		group: "cluster", summary: "Takes the steps of a backup of the cluster.", complexity: "O(N) with N bytes",
	},
	{
		name: "AUTH", arity: -2, flags: "noscript loading stale fast no_auth", preAuth: true, run: auth,
		right: rightAny,
		group: "connection", summary: "Proves who the client is.", complexity: "O(1)",
	},
	{
		name: "HELLO", arity: -1, flags: "noscript loading stale fast no_auth", preAuth: true, run: hello,
		right: rightAny,
		group: "connection", summary: "Chooses the dialect of RESP, and proves who the client is.", complexity: "O(1)",
	},
	{
		name: "ACL", arity: -2, flags: "noscript loading stale", run: acl,
		right: rightAny,
		group: "connection", summary: "Tells who the client is.", complexity: "O(1)",
	},
	{
		name: "PING", arity: -1, flags: "fast", run: ping, cost: echoCost,
		right: rightAny,
		group: "connection", summary: "Answers PONG.", complexity: "O(1)",
	},
	{
		name: "ECHO", arity: 2, flags: "fast", run: echo, cost: echoCost,
		right: rightAny,
		group: "connection", summary: "Answers its argument.", complexity: "O(1)",
	},
	{
		name: "CLIENT", arity: -2, flags: "noscript loading stale", run: client,
		right: rightAny,
		group: "connection", summary: "Names the connection.", complexity: "O(1)",
	},
	{
		name: "SELECT", arity: 2, flags: "loading stale fast", run: selectDB,
		right: rightAny,
		group: "connection", summary: "Takes database 0, the only one.", complexity: "O(1)",
	},
	{
		name: "READONLY", arity: 1, flags: "loading stale fast", run: readOnly,
		right: rightAny,
		group: "connection", summary: "Lets this node answer reads of groups that it does not lead.", complexity: "O(1)",
	},
	{
		name: "READWRITE", arity: 1, flags: "loading stale fast", run: readWrite,
		right: rightAny,
		group: "connection", summary: "Takes READONLY back.", complexity: "O(1)",
	},
	{
		name: "RESET", arity: 1, flags: "noscript loading stale fast no_auth", preAuth: true, run: reset,
		right: rightAny,
		group: "connection", summary: "Makes the connection as it was when it was opened.", complexity: "O(1)",
	},
	{
		name: "QUIT", arity: -1, flags: "noscript loading stale fast no_auth", preAuth: true, run: quit,
		right: rightAny,
		group: "connection", summary: "Closes the connection.", complexity: "O(1)",
	},
	{
		name: "INFO", arity: -1, flags: "loading stale", run: info, cost: tableCost,
		right: rightRead,
		group: "server", summary: "Tells about the node, its groups and its work.", complexity: "O(G) with G groups",
	},
}

// COMMAND reads the table that it is in, which the compiler takes for a circle.
func init() {
	table = append(table, &command{
		name: "COMMAND", arity: -1, flags: "loading stale", run: commandCommand, cost: tableCost,
		right: rightAny,
		group: "server", summary: "Tells about the commands.", complexity: "O(N) with N commands",
	})
	for i, known := range table {
		known.number = i + 1
		byName[known.name] = known
	}
}

var byName = map[string]*command{}

// lookup finds a command by its name, in capitals or not.
func lookup(name []byte) *command {
	var upper [16]byte
	if len(name) > len(upper) {
		return nil
	}
	for i, c := range name {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	return byName[string(upper[:len(name)])]
}

func unknownCommand(a args) error {
	var b strings.Builder
	b.WriteString("ERR unknown command '" + shown(a[0]) + "', with args beginning with: ")
	for _, arg := range a[1:min(len(a), 4)] {
		b.WriteString("'" + shown(arg) + "' ")
	}
	return redisError(b.String())
}

// unknownSub is the answer to a word that is none of a command's.
func unknownSub(command string, a args) error {
	return redisError("ERR unknown subcommand or wrong number of arguments for '" + shown(a[1]) + "'. Try " + command + " HELP.")
}

// helped answers the lines of HELP.
func helped(k *call, lines ...string) error {
	return k.answer(func(r *reply) {
		r.array(len(lines))
		for _, line := range lines {
			r.simple(line)
		}
	})
}

// What an answer may take, in bytes.
const (
	memberBytes  = 160  // of a member in a chat map, with a few intervals
	messageBytes = 384  // of a message map beside its text
	lineBytes    = 512  // of an element in a list
	tableBytes   = 8192 // of a table that grows with the groups or the commands
)

func chatCost(*conn, args) int { return 256 * memberBytes }

func listCost(_ *conn, a args) int { return len(a) * lineBytes }

func tableCost(c *conn, _ args) int { return tableBytes + 4*lineBytes*len(c.node.replicas().groups) }

func echoCost(_ *conn, a args) int { return len(a[len(a)-1]) }
