package retention

// SetFault has f called before each step of a sweep, which stops with its error.
func (s *Sweeper) SetFault(f func(step string) error) { s.fault = f }
