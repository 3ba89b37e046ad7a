package raftfsm

import "sync"

// failure passes the first storage failure to whoever has to end the process. One that comes before anybody listens is
// kept for him.
type failure struct {
	mu    sync.Mutex
	err   error
	fatal func(error)
}

// listen names the one who is told. He is told in the goroutine that met the failure, or in this one.
func (f *failure) listen(fatal func(error)) {
	f.mu.Lock()
	f.fatal = fatal
	err := f.err
	f.mu.Unlock()
	if err != nil {
		fatal(err)
	}
}

// tell reports a failure; all but the first are dropped.
func (f *failure) tell(err error) {
	f.mu.Lock()
	first, fatal := f.err == nil, f.fatal
	if first {
		f.err = err
	}
	f.mu.Unlock()
	if first && fatal != nil {
		fatal(err)
	}
}

// failed gives the first failure, or nil.
func (f *failure) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
