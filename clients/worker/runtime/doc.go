// Package runtime says where builds run. An Executor prepares a workspace for each attempt, runs
// the stages' commands in it, and removes it. Package shell runs commands as processes of this
// host, package fake simulates builds, and runtimetest has the tests that every executor passes.
package runtime
