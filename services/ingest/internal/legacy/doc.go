// Package legacy imports what the former TypeScript controller had, and exports it again. Nothing
// else depends on it, so it can be removed with its operations once nobody migrates any more.
package legacy
