package main

import "time"

// LoadConfig is a run of the bench. What is 0 is what is usual for its scenario.
type LoadConfig struct {
	Target       []string      `koanf:"target" doc:"delivery nodes to load, http://HOST:PORT; empty: a cluster of its own is started and ended"`
	Sequencers   []string      `koanf:"sequencers" doc:"RESP addresses of sequencer nodes, for what goes over RESP"`
	Username     string        `koanf:"username" doc:"user for AUTH over RESP"`
	PasswordFile string        `koanf:"password-file" doc:"file with that user's password; without it there is no AUTH"`
	SecretFile   string        `koanf:"secret-file" doc:"file with the HS256 secret for the users' tokens"`
	NoAuth       bool          `koanf:"no-auth" doc:"show 'user:NAME' in place of a token"`
	Servers      []string      `koanf:"servers" doc:"pids of this machine whose processor time is told; empty: those that listen at the addresses of the run"`
	Processes    bool          `koanf:"processes" doc:"the cluster of its own is three sequencers and a delivery node as processes, in place of quorate dev"`
	Workers      []string      `koanf:"workers" doc:"workers that share the run, http://HOST:PORT of quorate bench worker; empty: this process makes it"`
	Protocol     string        `koanf:"protocol" doc:"how messages are sent or read: resp, ws or rest"`
	Rate         float64       `koanf:"rate" doc:"operations in a second, planned beforehand: an open loop"`
	Closed       bool          `koanf:"closed" doc:"a closed loop in place of a rate: the next when one is done"`
	InFlight     int           `koanf:"in-flight" doc:"closed: how many of each sender or chat, 1 where it is 0; open: of all, beyond which what is planned is dropped and counted"`
	Senders      int           `koanf:"senders" doc:"users who send"`
	Chats        int           `koanf:"chats" doc:"chats that the load is spread over"`
	Members      int           `koanf:"members" doc:"members of each chat"`
	Connections  int           `koanf:"connections" doc:"users, with one connection each; idle: -1 for their chats alone"`
	Users        int           `koanf:"users" doc:"people who have the connections, each several where they are fewer; 0: one each"`
	FirstUser    int           `koanf:"first-user" doc:"number of the one of them who has the first connection"`
	Run          string        `koanf:"run" doc:"a name that is in the names of all users and chats: runs of one name, beside each other, share them; empty: a new one"`
	Ramp         float64       `koanf:"ramp" doc:"connections begun in a second"`
	Behind       int           `koanf:"behind" doc:"messages that were missed, or that there are to read"`
	Page         int           `koanf:"page" doc:"messages of one page"`
	NoAcks       bool          `koanf:"no-acks" doc:"members acknowledge nothing, so that no receipts are told"`
	Archived     bool          `koanf:"archived" doc:"what is read must be in the archive"`
	Size         int           `koanf:"size" doc:"bytes of a text"`
	SizeSkew     float64       `koanf:"size-skew" doc:"deviation of the logarithm of sizes, with --size as their median; 0: all are alike"`
	Skew         float64       `koanf:"skew" doc:"how unevenly people and chats are active: the exponent of Zipf's law"`
	Replay       int           `koanf:"replay" doc:"one message in so many is offered again after its ack, to see that it is there once; -1: none"`
	Seed         int           `koanf:"seed" doc:"seed of all that is random: the same seed makes the same load"`
	Warmup       time.Duration `koanf:"warmup" doc:"time before anything counts"`
	For          time.Duration `koanf:"for" doc:"time that counts"`
	SLO          []string      `koanf:"slo" doc:"what must be reached, or the exit code is 1: p99=50ms, max=1s, rate=1000, errors=0, or OPERATION:p99=50ms"`
	JSON         string        `koanf:"json" doc:"file for the whole result"`
	HTML         string        `koanf:"html" doc:"file for a page with charts and tables"`
	Label        string        `koanf:"label" doc:"a name for the run on its page"`
}

func defaultLoad() LoadConfig {
	return LoadConfig{
		Username: "default", SecretFile: devData + "/" + secretFile, Seed: 1, Warmup: 3 * time.Second, For: 20 * time.Second,
	}
}

// WorkerConfig is a process that carries out parts of runs.
type WorkerConfig struct {
	Listen       string `koanf:"listen" doc:"address for coordinators"`
	SecretFile   string `koanf:"secret-file" doc:"file with the HS256 secret for the users' tokens, which a coordinator must have, too"`
	NoAuth       bool   `koanf:"no-auth" doc:"show 'user:NAME' in place of a token, and serve any coordinator on this machine"`
	Username     string `koanf:"username" doc:"user for AUTH over RESP"`
	PasswordFile string `koanf:"password-file" doc:"file with that user's password; without it there is no AUTH"`
}
