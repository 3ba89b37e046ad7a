package main

import (
	"time"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/trust"
)

// Config is everything that flags, environment and file can say, for all commands. A field's koanf tag is its key: the
// key sequencer.node-id is the flag --node-id of `quorate sequencer`, node-id under sequencer in the file, and
// QUORATE_SEQUENCER__NODE_ID in the environment. Its doc tag is its help text.
type Config struct {
	Log       LogConfig       `koanf:"log"`
	Dev       DevConfig       `koanf:"dev"`
	Sequencer SequencerConfig `koanf:"sequencer"`
	Delivery  DeliveryConfig  `koanf:"delivery"`
	Push      PushConfig      `koanf:"push"`
	PushTest  PushTestConfig  `koanf:"push-test"`
	Token     TokenConfig     `koanf:"token"`
	Raft      RaftConfig      `koanf:"raft"`
	Archive   ArchiveConfig   `koanf:"archive"`
	Backup    BackupConfig    `koanf:"backup"`
	Restore   RestoreConfig   `koanf:"restore"`
	Chat      ChatConfig      `koanf:"chat"`
	Cert      CertConfig      `koanf:"cert"`
	User      UserConfig      `koanf:"user"`
	Check     CheckConfig     `koanf:"check"`
	Doctor    DoctorConfig    `koanf:"doctor"`
	Plain     PlainConfig     `koanf:"plain"`
	Load      LoadConfig      `koanf:"load"`
	Worker    WorkerConfig    `koanf:"worker"`
	Peers     PeersConfig     `koanf:"peers"`
	Units     UnitsConfig     `koanf:"units"`
	Plan      PlanConfig      `koanf:"plan"`
}

// LogConfig is how every command logs. Logs go to standard error.
type LogConfig struct {
	Level  string `koanf:"level" flag:"log-level" doc:"least level that is logged: debug, info, warn or error (default info; warn in dev)"`
	Format string `koanf:"format" flag:"log-format" doc:"form of a log line: text or json"`
}

// DevConfig is a whole cluster in one process, on loopback.
type DevConfig struct {
	Data     string `koanf:"data" doc:"directory for everything that lasts"`
	Addr     string `koanf:"addr" doc:"address for REST and WebSocket"`
	OpsAddr  string `koanf:"ops-addr" doc:"address for health, metrics and profiles"`
	RESPAddr string `koanf:"resp-addr" doc:"RESP address of the first node; the next nodes take the next ports"`
	Nodes    int    `koanf:"nodes" doc:"number of sequencer nodes, 1, 3 or 5; fixed when the data is made"`
	Groups   int    `koanf:"groups" doc:"number of Raft groups; fixed when the data is made"`
	NoAuth   bool   `koanf:"no-auth" doc:"accept 'Authorization: Bearer user:NAME' in place of a token"`
	Archive  string `koanf:"archive" doc:"object store for old messages: file:///DIR or s3://BUCKET/PREFIX?endpoint=URL; empty for a directory under --data"`

	ArchiveAfter  time.Duration `koanf:"archive-after" doc:"age at which a message goes to the archive"`
	ArchiveEvery  time.Duration `koanf:"archive-every" doc:"how often a leader looks for messages to archive"`
	FeedRetention time.Duration `koanf:"feed-retention" doc:"age at which an event leaves the feed; no younger message is archived"`

	SendsPerSecond int `koanf:"sends-per-second" doc:"messages that one user may send in a second, twice as many at once; 0 is the default, 20"`
}

// SequencerConfig is one node of a quorum.
type SequencerConfig struct {
	NodeID       string   `koanf:"node-id" doc:"this node's name, for as long as its data lives"`
	Data         string   `koanf:"data" doc:"directory for this node's data"`
	RaftAddr     string   `koanf:"raft-addr" doc:"address for the other nodes"`
	RESPAddr     string   `koanf:"resp-addr" doc:"address for clients (RESP)"`
	OpsAddr      string   `koanf:"ops-addr" doc:"address for health, metrics and profiles; empty for none"`
	Region       string   `koanf:"region" doc:"name of the region this node is in"`
	Zone         string   `koanf:"zone" doc:"name of what fails as one; a group's replicas are kept in different zones"`
	Groups       int      `koanf:"groups" doc:"number of Raft groups; fixed when the cluster is made"`
	Replicas     int      `koanf:"replicas" doc:"voters of each group in a new cluster: 1, 3 or 5"`
	LogStore     string   `koanf:"log-store" doc:"where Raft logs are kept: wal (one for all groups) or bolt (a file each); fixed when the data is made"`
	Bootstrap    []string `koanf:"bootstrap" doc:"first nodes as n1=RAFT_ADDR,n2=RAFT_ADDR,…; the same list on each of them"`
	Join         string   `koanf:"join" doc:"RESP address of any node of the cluster to become part of, in place of --bootstrap"`
	JoinToken    string   `koanf:"join-token" doc:"what quorate cluster token printed; best given in the environment"`
	PasswordFile string   `koanf:"password-file" doc:"file with the password of the user default, an operator, for AUTH"`
	Users        string   `koanf:"users" doc:"file with the users for AUTH; see quorate user"`
	TLSCA        string   `koanf:"tls-ca" doc:"file with the certificates (PEM) that sign those of the cluster"`
	TLSCert      string   `koanf:"tls-cert" doc:"file with this node's certificate (PEM)"`
	TLSKey       string   `koanf:"tls-key" doc:"file with the key (PEM) of that certificate"`

	Archive            string        `koanf:"archive" doc:"object store for old messages, the same for all nodes: file:///DIR or s3://BUCKET/PREFIX?endpoint=URL; empty for none"`
	ArchiveAfter       time.Duration `koanf:"archive-after" doc:"age at which a message goes to the archive"`
	ArchiveEvery       time.Duration `koanf:"archive-every" doc:"how often a leader looks for messages to archive"`
	ArchiveObjectBytes int           `koanf:"archive-object-bytes" doc:"size of an object of the archive, about"`
	HotBytes           int           `koanf:"hot-bytes" doc:"bytes of a group's store above which younger messages are archived, too; 0 for no limit"`
	RetainFor          time.Duration `koanf:"retain-for" doc:"age at which messages are deleted for good, where their chat has no time of its own; 0 for never"`
	Backup             string        `koanf:"backup" doc:"object store for backups that name no other: file:///DIR or s3://BUCKET/PREFIX?endpoint=URL; not that of the archive"`
	BackupRate         int           `koanf:"backup-rate" doc:"bytes of a backup that this node sends in a second; 0 for no limit"`
	FeedRetention      time.Duration `koanf:"feed-retention" doc:"age at which an event leaves the feed; no younger message is archived"`
	DedupRetention     time.Duration `koanf:"dedup-retention" doc:"how long a clientMessageId is remembered"`

	HeartbeatTimeout time.Duration `koanf:"heartbeat-timeout" doc:"silence of a leader after which a follower stands for election; 0 is the default, 200ms"`
	ElectionTimeout  time.Duration `koanf:"election-timeout" doc:"how long a candidate waits for votes; 0 is the default, 200ms"`
	LeaseTimeout     time.Duration `koanf:"lease-timeout" doc:"time without a majority after which a leader steps down, at most the heartbeat timeout; 0 is the default, 150ms"`
	SnapshotEntries  int           `koanf:"snapshot-entries" doc:"log entries of a group between two snapshots; 0 is the default, 16384"`
	TrailingBytes    int           `koanf:"trailing-bytes" doc:"bytes of log that a group keeps behind a snapshot for replicas that are late; 0 is the default, 64 MiB"`
}

// DeliveryConfig is one delivery node.
type DeliveryConfig struct {
	Sequencers    []string `koanf:"sequencers" doc:"RESP addresses of sequencer nodes; one that answers is enough"`
	Addr          string   `koanf:"addr" doc:"address for REST and WebSocket"`
	OpsAddr       string   `koanf:"ops-addr" doc:"address for health, metrics and profiles; empty for none"`
	HubAddr       string   `koanf:"hub-addr" doc:"address at which other delivery nodes reach this one's hub; port 0 picks a free one"`
	Region        string   `koanf:"region" doc:"name of the region this node is in; its hubs share the feeds between them"`
	Roles         []string `koanf:"roles" doc:"what this node does: edge (holds clients), hub (reads feeds for the edges of its region), notifier (has users who are away told, where a push-… key says how)"`
	Archive       string   `koanf:"archive" doc:"object store of the sequencers, to read old messages from; empty for none"`
	NoAuth        bool     `koanf:"no-auth" doc:"accept 'Authorization: Bearer user:NAME' in place of a token; on loopback only"`
	HTTPSCert     string   `koanf:"https-cert" doc:"file with the certificate (PEM) for https and wss on --addr; it is read again when it changes"`
	HTTPSKey      string   `koanf:"https-key" doc:"file with the key (PEM) of that certificate"`
	JWTSecretFile string   `koanf:"jwt-secret-file" doc:"file with the HS256 secret that tokens are signed with"`
	JWTKeysFile   string   `koanf:"jwt-keys-file" doc:"file with public keys of tokens: PEM, or a JSON Web Key Set (RS256, ES256, EdDSA)"`
	JWTKeysURL    string   `koanf:"jwt-keys-url" doc:"address of a JSON Web Key Set with such keys, read again every 5 minutes; https, or http on loopback"`
	JWTIssuer     string   `koanf:"jwt-issuer" doc:"iss that tokens must have; empty for any"`
	JWTAudience   string   `koanf:"jwt-audience" doc:"aud that tokens must have; empty for any"`
	Username      string   `koanf:"username" doc:"user for the sequencers' AUTH"`
	PasswordFile  string   `koanf:"password-file" doc:"file with that user's password; without it there is no AUTH"`
	TLSCA         string   `koanf:"tls-ca" doc:"file with the certificates (PEM) that sign those of the cluster"`
	TLSCert       string   `koanf:"tls-cert" doc:"file with this edge's certificate (PEM)"`
	TLSKey        string   `koanf:"tls-key" doc:"file with the key (PEM) of that certificate"`

	PingEvery          time.Duration `koanf:"ping-every" doc:"a client that has said nothing for so long is pinged; NATs and proxies forget connections that are silent for longer than theirs"`
	AddressConnections int           `koanf:"address-connections" doc:"WebSockets of one client address (IPv6: of its /64); negative for no limit"`
	AddressHandshakes  int           `koanf:"address-handshakes" doc:"WebSocket handshakes of one address in a second, ten times as many at once; negative for no limit"`
	AddressFailures    int           `koanf:"address-failures" doc:"refused tokens of one address in a second, ten times as many at once; negative for no limit"`
	AddressRequests    int           `koanf:"address-requests" doc:"TCP connections of one address that are no WebSockets (yet); negative for no limit"`
	RequestConnections int           `koanf:"request-connections" doc:"TCP connections of all addresses that are no WebSockets (yet); negative for no limit"`
	SendsPerSecond     int           `koanf:"sends-per-second" doc:"messages that one user may send in a second, twice as many at once; 0 is the default, 20"`
	UnlimitedAddresses []string      `koanf:"unlimited-addresses" doc:"addresses and networks (CIDR) of load balancers and load testers: no limit of an address holds for them"`
}

// PushConfig is how users who are away are told of messages, by the edges, which register their devices, and by the notifiers.
type PushConfig struct {
	Grace        time.Duration `koanf:"grace" flag:"push-grace" doc:"time that a message has to be delivered before its user is told of it"`
	Text         bool          `koanf:"text" flag:"push-text" doc:"notifications say what was written, and the name of the chat"`
	Badge        bool          `koanf:"badge" flag:"push-badge" doc:"badges count what is unread in all chats of the user, false: in the one of the message"`
	DryRun       bool          `koanf:"dry-run" flag:"push-dry-run" doc:"log what would be sent, and send nothing"`
	TTL          time.Duration `koanf:"ttl" flag:"push-ttl" doc:"how long a provider may keep a notification for a device that is off"`
	VAPIDFile    string        `koanf:"vapid-file" flag:"push-vapid-file" doc:"Web Push: file with the key, see quorate push vapid"`
	WebPushHosts []string      `koanf:"webpush-hosts" flag:"push-webpush-hosts" doc:"hosts of push services, *.NAME for those below one; empty for those of the known browsers"`
	APNSKey      string        `koanf:"apns-key" flag:"push-apns-key" doc:"APNs: the .p8 file that Apple gave"`
	APNSKeyID    string        `koanf:"apns-key-id" flag:"push-apns-key-id" doc:"its ten characters"`
	APNSTeamID   string        `koanf:"apns-team-id" flag:"push-apns-team-id" doc:"the ten characters of the team"`
	APNSTopics   []string      `koanf:"apns-topic" flag:"push-apns-topic" doc:"bundle ids of apps; the first is that of devices that name none"`
	APNSURL      string        `koanf:"apns-url" flag:"push-apns-url" doc:"another address of APNs, such as the sandbox's"`
	FCMAccount   string        `koanf:"fcm-account" flag:"push-fcm-account" doc:"FCM: file with the service account (JSON)"`
	FCMURL       string        `koanf:"fcm-url" flag:"push-fcm-url" doc:"another address of FCM"`
	WebhookHosts []string      `koanf:"webhook-hosts" flag:"push-webhook-hosts" doc:"hosts that may have a webhook, *.NAME for those below one, * for any public one; empty for no webhooks"`
	AllowHosts   []string      `koanf:"allow-hosts" flag:"push-allow-hosts" doc:"HOST[:PORT] that devices may name whatever its address is, loopback and private ones too"`
	CAFile       string        `koanf:"ca-file" flag:"push-ca-file" doc:"file with authorities (PEM) that are trusted beside the system's"`
}

// PushTestConfig is where quorate push test finds a user's devices.
type PushTestConfig struct {
	User         string   `koanf:"user" doc:"user whose devices get a notification"`
	Sequencers   []string `koanf:"sequencers" doc:"RESP addresses of sequencer nodes; one that answers is enough"`
	Username     string   `koanf:"username" doc:"user for AUTH, an edge or an operator"`
	PasswordFile string   `koanf:"password-file" doc:"file with that user's password; without it there is no AUTH"`
	TLSCA        string   `koanf:"tls-ca" doc:"file with the certificates (PEM) that sign those of the cluster"`
	TLSCert      string   `koanf:"tls-cert" doc:"file with this client's certificate (PEM)"`
	TLSKey       string   `koanf:"tls-key" doc:"file with the key (PEM) of that certificate"`
}

// TokenConfig is a development token.
type TokenConfig struct {
	User       string        `koanf:"user" doc:"user the token is for"`
	TTL        time.Duration `koanf:"ttl" doc:"how long the token is good for"`
	SecretFile string        `koanf:"secret-file" doc:"file with the HS256 secret"`
}

// PlainConfig is a server to compare with.
type PlainConfig struct {
	Addr string `koanf:"addr" doc:"address of the plain server; loopback only"`
}

// RaftConfig is where the raft commands ask.
type RaftConfig struct {
	RESPAddr     string `koanf:"resp-addr" doc:"RESP address of any sequencer node"`
	Username     string `koanf:"username" doc:"user for AUTH"`
	PasswordFile string `koanf:"password-file" doc:"file with that user's password; without it there is no AUTH"`
	TLSCA        string `koanf:"tls-ca" doc:"file with the certificates (PEM) that sign those of the cluster"`
	TLSCert      string `koanf:"tls-cert" doc:"file with this client's certificate (PEM)"`
	TLSKey       string `koanf:"tls-key" doc:"file with the key (PEM) of that certificate"`
}

// ArchiveConfig is where the archive commands look at objects.
type ArchiveConfig struct {
	Store string `koanf:"store" flag:"archive" doc:"object store of the cluster: file:///DIR or s3://BUCKET/PREFIX?endpoint=URL"`
}

// BackupConfig is where backups are.
type BackupConfig struct {
	Store string `koanf:"store" flag:"to" doc:"object store of the backups: file:///DIR or s3://BUCKET/PREFIX?endpoint=URL; it is opened by the nodes to save, by this command otherwise"`
}

// RestoreConfig is which node is made of a backup.
type RestoreConfig struct {
	From    string `koanf:"from" doc:"object store of the backups: file:///DIR or s3://BUCKET/PREFIX?endpoint=URL"`
	Data    string `koanf:"data" doc:"directory of the new node; it must be empty"`
	Archive string `koanf:"archive" doc:"object store of the new cluster's archive, to be given the archived messages that it does not have; empty for none"`
}

// CheckConfig is what the check commands look at, and when they complain.
type CheckConfig struct {
	Sequencers   []string      `koanf:"sequencers" doc:"RESP addresses of sequencer nodes; one that answers is enough"`
	Username     string        `koanf:"username" doc:"user for AUTH"`
	PasswordFile string        `koanf:"password-file" doc:"file with that user's password; without it there is no AUTH"`
	TLSCA        string        `koanf:"tls-ca" doc:"file with the certificates (PEM) that sign those of the cluster"`
	TLSCert      string        `koanf:"tls-cert" doc:"file with this client's certificate (PEM)"`
	TLSKey       string        `koanf:"tls-key" doc:"file with the key (PEM) of that certificate"`
	Format       string        `koanf:"format" doc:"how the findings are printed: text, json, nagios or prometheus"`
	Timeout      time.Duration `koanf:"timeout" doc:"how long the whole check may take"`
	Interval     time.Duration `koanf:"interval" doc:"time between two looks, to see what stands still"`
	LagWarning   int           `koanf:"lag-warning" doc:"entries that a replica may be behind before it is a warning; 0 for any"`
	LagCritical  int           `koanf:"lag-critical" doc:"entries that a replica may be behind before it is critical; 0 for any"`

	Edges              []string      `koanf:"edges" doc:"operations addresses of delivery nodes, for check edge"`
	Archive            string        `koanf:"archive" doc:"object store of the cluster, for check archive to read some objects from here; empty for none"`
	ArchiveLagWarning  time.Duration `koanf:"archive-lag-warning" doc:"time that old messages may wait for the archive before it is a warning; 0 for any"`
	ArchiveLagCritical time.Duration `koanf:"archive-lag-critical" doc:"time that old messages may wait for the archive before it is critical; 0 for any"`
}

// DoctorConfig is what a node on this machine would need.
type DoctorConfig struct {
	Data        string   `koanf:"data" doc:"directory for a node's data; it need not exist yet"`
	Listen      []string `koanf:"listen" doc:"addresses that nodes here are to listen on"`
	Peers       []string `koanf:"peers" doc:"addresses of other nodes that must be reachable from here"`
	Connections int      `koanf:"connections" doc:"clients' connections that a node here is to hold"`
	Fsyncs      int      `koanf:"fsyncs" doc:"number of writes with fsync to measure"`
}

// ChatConfig is who the chat commands are, and where they talk to.
type ChatConfig struct {
	URL        string `koanf:"url" doc:"base URL of a delivery node"`
	Token      string `koanf:"token" doc:"token to show; where empty, one is made for --user with --secret-file"`
	User       string `koanf:"user" doc:"user to be, where no token is given"`
	SecretFile string `koanf:"secret-file" doc:"file with the HS256 secret"`
}

// CertConfig is a development authority and what it signs.
type CertConfig struct {
	Dir      string        `koanf:"dir" doc:"directory of the authority, and of what it signs"`
	Cluster  string        `koanf:"cluster" doc:"name of the cluster, in every certificate; fixed when the authority is made"`
	Hosts    []string      `koanf:"hosts" doc:"addresses and host names of a node, for clients that look at them"`
	ValidFor time.Duration `koanf:"valid-for" doc:"how long a certificate is good for (default 10 years for an authority, 1 year for others)"`
}

// UserConfig is a file of users.
type UserConfig struct {
	File        string `koanf:"file" doc:"file of users"`
	Role        string `koanf:"role" doc:"what the user may do: operator, edge or reader"`
	PasswordOut string `koanf:"password-out" doc:"file to write the password to, in place of printing it"`
}

// devData is where `quorate dev` keeps its data unless told otherwise: under the directory it was started in, so that two
// checkouts do not share a cluster.
const devData = "quorate-data"

// How long a message stays hot, and an event in the feed, unless somebody says otherwise.
const (
	archiveAfter  = 7 * 24 * time.Hour
	feedRetention = 48 * time.Hour
)

func defaultConfig() Config {
	return Config{
		Log: LogConfig{Format: "text"},
		Dev: DevConfig{
			Data: devData, Addr: "127.0.0.1:8080", OpsAddr: "127.0.0.1:9090", RESPAddr: "127.0.0.1:7379",
			Nodes: 3, Groups: 2, ArchiveAfter: archiveAfter, ArchiveEvery: 10 * time.Minute, FeedRetention: feedRetention,
		},
		Sequencer: SequencerConfig{
			RaftAddr: "127.0.0.1:7300", RESPAddr: "127.0.0.1:7379", OpsAddr: "127.0.0.1:9090", Region: "local", Groups: 8,
			Replicas: 3, LogStore: sequencer.LogWAL, ArchiveAfter: archiveAfter, ArchiveEvery: 10 * time.Minute, ArchiveObjectBytes: 64 << 20,
			FeedRetention: feedRetention, DedupRetention: 7 * 24 * time.Hour,
		},
		Delivery: DeliveryConfig{
			Addr: "127.0.0.1:8080", OpsAddr: "127.0.0.1:9091", HubAddr: "127.0.0.1:0", Region: "local", Roles: []string{"edge", "hub", "notifier"},
			Username: trust.DefaultUser, PingEvery: 45 * time.Second, AddressConnections: 4096, AddressHandshakes: 100, AddressFailures: 50, AddressRequests: 2048,
			RequestConnections: 32_768, UnlimitedAddresses: []string{"127.0.0.0/8", "::1/128"},
		},
		Push:  PushConfig{Grace: 5 * time.Second, Badge: true, TTL: 72 * time.Hour},
		Token: TokenConfig{TTL: time.Hour, SecretFile: devData + "/" + secretFile},
		Raft:  RaftConfig{RESPAddr: "127.0.0.1:7379", Username: trust.DefaultUser},
		Cert:  CertConfig{Dir: "quorate-certs", Cluster: "quorate"},
		User:  UserConfig{File: "users.yaml", Role: string(trust.Edge)},
		Doctor: DoctorConfig{
			Data: ".", Listen: []string{"127.0.0.1:7300", "127.0.0.1:7379", "127.0.0.1:8080", "127.0.0.1:9090", "127.0.0.1:9091"},
			Connections: 10_000, Fsyncs: 300,
		},
		PushTest: PushTestConfig{Sequencers: []string{"127.0.0.1:7379"}, Username: trust.DefaultUser},
		Check: CheckConfig{
			Sequencers: []string{"127.0.0.1:7379"}, Username: trust.DefaultUser, Format: "text", Timeout: 10 * time.Second, Interval: time.Second,
			LagWarning: 1000, LagCritical: 10_000, Edges: []string{"http://127.0.0.1:9091"},
			ArchiveLagWarning: time.Hour, ArchiveLagCritical: 24 * time.Hour,
		},
		Plain:  PlainConfig{Addr: "127.0.0.1:8081"},
		Load:   defaultLoad(),
		Peers:  defaultPeers(),
		Units:  UnitsConfig{Out: "units.json", Connections: 15_000, Size: 200, For: 10 * time.Second},
		Plan:   defaultPlan(),
		Worker: WorkerConfig{Listen: "127.0.0.1:7400", SecretFile: devData + "/" + secretFile, Username: "default"},
		Chat:   ChatConfig{URL: "http://127.0.0.1:8080", SecretFile: devData + "/" + secretFile},
	}
}
