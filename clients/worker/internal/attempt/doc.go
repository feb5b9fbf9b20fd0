// Package attempt runs claimed builds on this machine.
//
// # Overview
//
//	source -> plan -> stages -> result -> outcome
//
// A Runner runs attempts and knows which of them run. Around the work of an attempt its lease is
// renewed, its log is sent and its stages are reported.
//
// # How an attempt ends
//
// An attempt ends when its work is done, when the build's timeout passes, or when the worker stops;
// then its outcome is reported. If the lease is lost or the build is cancelled, the attempt is
// abandoned: its processes are killed and nothing more is reported.
//
// # Whose fault it is
//
// A failed stage, a faulty project and a damaged source are the build's: another worker would fail
// too. Everything else is an infrastructure failure, and another worker tries.
package attempt
