// Package fake plays builds: real logs, real stages and a real result file, without a project, Node or a Mac. It ships, so
// that anybody can try a whole farm and see it cope with slow, failing, hanging and dying builds.
//
// What surrounds the stages is real: the source is downloaded, checked and unpacked, the result packed and uploaded.
package fake
