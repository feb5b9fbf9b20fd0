// Package variables keeps the variables of projects. Values are encrypted at rest (package seal), and cross the bus sealed for the process
// that reads them (package sealedbox): from the gateway for the service, from the service for the worker that holds a build's attempt.
package variables
