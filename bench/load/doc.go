// Package load makes the work of a run: when each send is planned, what its text is, and who talks where. All of it follows from a seed,
// so that a run can be made again.
package load
