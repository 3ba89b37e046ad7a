// Package scenario is the runs of the bench. Each makes chats and users of its own, drives a cluster over its public protocols alone, and
// checks every promise while it measures. METHOD.md beside this package tells how.
package scenario
