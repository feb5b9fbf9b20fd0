// Package transfer moves an attempt's bytes: it downloads and unpacks the source, finds and packs
// the result, and uploads it. It also gets the variables of the build's project.
//
// # When a transfer fails
//
// Within one grant the HTTP client resumes what breaks. A transfer that fails is tried again with a
// new grant, four times in all. A farm that is unavailable, or whose own disk is full, is waited
// for up to ten minutes and costs no try: a restart must not cost a build that is nearly done.
package transfer
