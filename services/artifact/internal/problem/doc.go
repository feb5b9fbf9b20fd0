// Package problem has the errors that clients see: refusals with a sentence, their machine codes
// and HTTP statuses, and the translation of the errors of the layers below.
package problem
