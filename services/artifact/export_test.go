package artifact

import "time"

// SetLogs changes how long a log may take and the pause after a failure, and has fault called after each step.
func (s *Service) SetLogs(lease, retry time.Duration, fault func(step string) error) {
	s.logLease, s.logRetry = lease, retry
	if fault != nil {
		s.logFault = fault
	}
}
