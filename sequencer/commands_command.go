package sequencer

import "strings"

// commandCommand is COMMAND [COUNT|LIST|INFO [name…]|DOCS [name…]|GETKEYS command…].
func commandCommand(_ *conn, k *call, a args) error {
	switch {
	case len(a) == 1:
		return k.answer(func(r *reply) { commandInfos(r, table) })
	case a.is(1, "COUNT") && len(a) == 2:
		return k.answer(func(r *reply) { r.int(int64(len(table))) })
	case a.is(1, "LIST") && len(a) == 2:
		return k.answer(func(r *reply) {
			r.array(len(table))
			for _, known := range table {
				r.str(strings.ToLower(known.name))
			}
		})
	case a.is(1, "INFO"):
		return k.answer(func(r *reply) { commandInfos(r, named(a[2:], true)) })
	case a.is(1, "DOCS"):
		return k.answer(func(r *reply) { commandDocs(r, named(a[2:], false)) })
	case a.is(1, "GETKEYS") && len(a) > 2:
		return getKeys(k, a[2:])
	case a.is(1, "HELP") && len(a) == 2:
		return helped(k, "COMMAND", "COMMAND COUNT", "COMMAND LIST", "COMMAND INFO [name ...]", "COMMAND DOCS [name ...]",
			"COMMAND GETKEYS command [argument ...]")
	}
	return unknownSub("COMMAND", a)
}

// named gives commands by their names, all where there are no names. Unknown ones are nil, or left out.
func named(names args, keepUnknown bool) []*command {
	if len(names) == 0 {
		return table
	}
	var found []*command
	for _, name := range names {
		if known := lookup(name); known != nil || keepUnknown {
			found = append(found, known)
		}
	}
	return found
}

// commandInfos answers the ten elements that Redis 7 tells of a command.
func commandInfos(r *reply, commands []*command) {
	r.array(len(commands))
	for _, known := range commands {
		if known == nil {
			r.null()
			continue
		}
		step := 0
		if known.key > 0 {
			step = 1
		}
		r.array(10)
		r.str(strings.ToLower(known.name))
		r.int(int64(known.arity))
		flags := strings.Fields(known.flags)
		r.array(len(flags))
		for _, flag := range flags {
			r.simple(flag)
		}
		r.int(int64(known.key))
		r.int(int64(known.key))
		r.int(int64(step))
		r.array(1)
		r.simple("@" + known.group)
		r.array(0) // tips
		r.array(0) // key specifications
		r.array(0) // subcommands
	}
}

// commandDocs answers what redis-cli shows while one types.
func commandDocs(r *reply, commands []*command) {
	r.maps(len(commands))
	for _, known := range commands {
		r.field(strings.ToLower(known.name))
		r.maps(4)
		r.fieldStr("summary", known.summary)
		r.fieldStr("since", "0.1.0")
		r.fieldStr("group", known.group)
		r.fieldStr("complexity", known.complexity)
	}
}

// getKeys answers the keys of a command.
func getKeys(k *call, a args) error {
	known := lookup(a[0])
	switch {
	case known == nil:
		return redisError("ERR Invalid command specified")
	case known.key == 0:
		return redisError("ERR The command has no key arguments")
	case known.key >= len(a):
		return redisError("ERR Invalid number of arguments specified for command")
	}
	return k.answer(func(r *reply) {
		r.array(1)
		r.str(a.str(known.key))
	})
}
