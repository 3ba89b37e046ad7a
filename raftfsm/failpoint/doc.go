// Package failpoint lets tests stop a process at a named step, where nothing from outside could: between two writes that belong
// together. Only a binary that was built with the tag quorate_failpoints has it. In every other the functions here are empty, and
// nothing at run time changes that.
package failpoint
