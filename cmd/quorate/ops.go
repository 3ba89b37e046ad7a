package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sort"
	"time"
)

// probe answers why a part is not well; nil is well.
type probe func() error

// probeTime is how long a probe may take.
const probeTime = 500 * time.Millisecond

// readiness makes a probe of a part's Ready.
func readiness(ready func(context.Context) error) probe {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), probeTime)
		defer cancel()
		return ready(ctx)
	}
}

// opsServer answers /healthz, /readyz, /metrics and /debug/pprof/ on an address of its own, away from the users' port.
type opsServer struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{} // closed when Serve has returned
}

// openOps listens on addr. /healthz tells that the process lives; /readyz runs the probes by name; /metrics shows what is
// counted. With addr "" there is no server, and Close is fine.
func openOps(addr string, ready map[string]probe, shown metrics, logger *slog.Logger) (*opsServer, error) {
	if addr == "" {
		return &opsServer{}, nil
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, reasons(ready)) })
	mux.Handle("GET /metrics", shown.handler(logger))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	o := &opsServer{
		listener: listener, done: make(chan struct{}),
		server: &http.Server{
			Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
			ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		},
	}
	go func() {
		defer close(o.done)
		if err := o.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("ops server ended", "err", err)
		}
	}()
	return o, nil
}

// Addr is where the server listens, "" where there is none.
func (o *opsServer) Addr() string {
	if o.listener == nil {
		return ""
	}
	return o.listener.Addr().String()
}

// Close ends the server. It gives requests under way a second.
func (o *opsServer) Close() error {
	if o.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := o.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // a profile may run for minutes
		err = o.server.Close()
	}
	<-o.done
	return err
}

// reasons runs the probes and lists what they find, in the order of their names.
func reasons(probes map[string]probe) []string {
	var found []string
	for name, check := range probes {
		if err := check(); err != nil {
			found = append(found, name+": "+err.Error())
		}
	}
	sort.Strings(found)
	return found
}

func answerHealth(w http.ResponseWriter, reasons []string) {
	w.Header().Set("Content-Type", "application/json")
	answer := map[string]any{"status": "ok"}
	if len(reasons) > 0 {
		answer = map[string]any{"status": "unavailable", "reasons": reasons}
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) // a prober that went away is no matter of ours
}
