// Package failure finds out why a stage failed, from what its command printed.
//
// # Overview
//
// A Finder reads the lines of a stage as they come and keeps a bounded number of them. Find returns
// the cause in one sentence, its place in the project, what to do, the line of the log that says so,
// and whose fault it is: the project's, the network's or the machine's.
//
// # The catalogue
//
// Rules are data, one table for each family of tools. A rule has literals that a line must contain,
// an expression with named groups, expressions for the lines that follow, and templates for cause,
// place and cure. If several rules match, the highest rank wins: a compiler's error with its place
// ranks above the summary of the build tool that ran it. Each rule has a sample in testdata: output
// that a tool of a named version printed, a shortened public log with its address, or, in forms.txt,
// a message in the form that the tool has. The latter two are marked as not run here.
//
// # What is not recognised
//
// The cause says then that it is unknown, and quotes the last lines. It never guesses.
package failure
