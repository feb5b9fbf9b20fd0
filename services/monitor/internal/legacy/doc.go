// Package legacy imports and exports the samples and reports of the former controller. It can be removed as one folder, with its four
// requests.
package legacy
