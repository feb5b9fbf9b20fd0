// Package legacy stores files and logs of the legacy controller's builds. Only files named legacy.go use it.
package legacy
