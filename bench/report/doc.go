// Package report shows what a run measured: a line while it runs, a table, a page, and a comparison of two runs.
package report
