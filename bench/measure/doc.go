// Package measure holds what a run has measured: times in HDR histograms, the same by the second, the machine it ran on, and the form
// in which all of it is written down and read again.
package measure
