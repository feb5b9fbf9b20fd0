package artifact

import (
	"time"
)

// SetLogs changes how long a log may take and the pause after a failure, and has fault called after each step.
func (s *Service) SetLogs(lease, retry time.Duration, fault func(step string) error) {
	s.logs.Lease, s.logs.Retry, s.logs.Fault = lease, retry, fault
}
