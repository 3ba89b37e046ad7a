package main

import (
	"log/slog"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/quorate/quorate/delivery"
	"github.com/quorate/quorate/delivery/notify"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/wire"
)

// scrapes bounds the scrapes that are answered at one time; each looks at every group and connection.
const scrapes = 2

// metrics is what one process shows to Prometheus.
type metrics struct{ registry *prometheus.Registry }

// newMetrics makes a registry that holds what is true of any process: its build, the Go runtime, and what the kernel
// counts of it.
func newMetrics() metrics {
	m := metrics{prometheus.NewRegistry()}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "quorate_build_info", Help: "Always 1; its labels say which program this is.",
		ConstLabels: prometheus.Labels{"version": buildVersion(), "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// node adds a sequencer node; its series have its id as a label.
func (m metrics) node(id wire.NodeID, node *sequencer.Node) {
	prometheus.WrapRegistererWith(prometheus.Labels{"node": string(id)}, m.registry).MustRegister(node.Collector())
}

// edge adds the delivery node.
func (m metrics) edge(edge *delivery.Server) { m.registry.MustRegister(edge.Collector()) }

// notifier adds the notifier, where there is one.
func (m metrics) notifier(n *notify.Notifier) {
	if n != nil {
		m.registry.MustRegister(n.Collector())
	}
}

// forget takes a delivery node out that another one takes the place of, with its notifier.
func (m metrics) forget(edge *delivery.Server, n *notify.Notifier) {
	m.registry.Unregister(edge.Collector())
	if n != nil {
		m.registry.Unregister(n.Collector())
	}
}

// handler answers scrapes.
func (m metrics) handler(logger *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelError), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapes, EnableOpenMetrics: true,
	})
}
