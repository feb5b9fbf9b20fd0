// Package grant answers requests for transfers with a URL and a signed ticket. A worker gets one
// only for the attempt whose lease it holds, which the scheduler knows.
package grant
