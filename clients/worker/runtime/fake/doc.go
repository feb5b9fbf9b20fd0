// Package fake simulates builds, without a project, Node or a Mac: try a whole farm with slow,
// failing, hanging and dying builds.
//
// Only the stages' commands are simulated. The source is downloaded, checked and unpacked; stages,
// log lines, result and uploads are real.
package fake
