// Package runtime is where builds run: an Executor gives each attempt a workspace, runs the stages' commands in it, and
// leaves nothing behind. Package shell runs them as processes of this host, package fake plays them; runtimetest is the
// suite that every executor passes.
package runtime
