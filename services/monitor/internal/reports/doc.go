// Package reports keeps the diagnostic reports of workers and scores a worker's health from them.
package reports
